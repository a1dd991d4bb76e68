"""The agent: one asyncio daemon per node, the composition root."""
