"""Policies about requests, in labs."""
