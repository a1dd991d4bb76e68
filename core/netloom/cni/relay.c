/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netloom-cni as a runtime calls it: hands environment and standard input to the agent, prints what comes back.
 *
 * Built by `netctl cni install`, which says where the agent listens (RELAY_SOCKET, in RELAY_DIRECTORY) and which
 * Python has Netloom (RELAY_PYTHON). It knows one path, the ordinary one. Whatever is out of the ordinary (the agent
 * away, somebody else at its door, an answer that is none, a config that names a socket) it leaves to the Python
 * program `netloom.cni`, which starts the call anew and has every sentence. The call's form: netloom/cni/frame.py.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONFIG (1 << 20)
#define MAX_ENVIRONMENT (64 << 10)
#define MAX_HEAD 256
#define MAX_ANSWER (4 << 20)
/* Of all steps together; netloom/cni/agent.py has the same. The agent is given nine tenths of it. */
#ifndef RELAY_TIMEOUT_MS
#define RELAY_TIMEOUT_MS 30000
#endif

/* By these words `netctl cni install` knows its own. */
__attribute__((used)) static const char mark[] = "installed by netctl cni install: netloom-cni relay";

_Static_assert(sizeof(RELAY_SOCKET) <= sizeof(((struct sockaddr_un *)0)->sun_path), "the socket's path is too long");

/* Head, variables and config lie one after another, as they are sent. */
static char call[MAX_HEAD + MAX_ENVIRONMENT + 1 + MAX_CONFIG + 1];
static char answer[MAX_ANSWER + 1];

enum outcome { DONE, ODD, HUNG };

struct reply {
	const char *content;
	size_t length;
	int exit_status;
};

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* Length of the CNI_ variables written to `to`, each with its zero byte; 0 when they are too long. */
static size_t pack_environment(char *to)
{
	extern char **environ;
	size_t length = 0;

	for (char **each = environ; *each; each++) {
		size_t size = strlen(*each) + 1;

		if (strncmp(*each, "CNI_", 4) != 0)
			continue;
		if (size > MAX_ENVIRONMENT - length)
			return 0;
		memcpy(to + length, *each, size);
		length += size;
	}
	to[length] = '\0';
	return length + 1;
}

/* Bytes read of standard input, at most one more than a config may have. */
static size_t read_config(char *to)
{
	size_t length = 0;
	ssize_t part = 1;

	while (part > 0 && length <= MAX_CONFIG) {
		part = read(STDIN_FILENO, to + length, MAX_CONFIG + 1 - length);
		if (part < 0 && errno == EINTR)
			part = 1;
		else if (part > 0)
			length += part;
	}
	return length;
}

static bool write_all(int fd, const char *from, size_t length)
{
	while (length > 0) {
		ssize_t part = write(fd, from, length);

		if (part < 0 && errno != EINTR)
			return false;
		from += part > 0 ? part : 0;
		length -= part > 0 ? part : 0;
	}
	return true;
}

/* Becomes the Python program, with the same environment and the config it has not seen yet. */
static int fall_back(const char *config, size_t length, const char *why)
{
	char *const arguments[] = {RELAY_PYTHON, "-I", "-m", "netloom.cni", RELAY_SOCKET, (char *)why, NULL};
	int fd = memfd_create("netloom-cni", MFD_CLOEXEC);

	if (fd >= 0 && write_all(fd, config, length) && lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == 0)
		execv(RELAY_PYTHON, arguments);
	printf("{\"cniVersion\": \"1.0.0\", \"code\": 11, \"msg\": \"the agent cannot be asked, and the Python program "
	       "that says why cannot be run: %s\", \"details\": \"run netctl cni install again\"}\n",
	       strerror(errno));
	return 1;
}

static bool door_is_ours(void)
{
	struct stat place, door;

	if (stat(RELAY_DIRECTORY, &place) != 0 || lstat(RELAY_SOCKET, &door) != 0)
		return false;
	return trusted(place.st_uid) && !(place.st_mode & (S_IWGRP | S_IWOTH)) && S_ISSOCK(door.st_mode) &&
	       trusted(door.st_uid);
}

static bool limit(int fd, int option, long deadline_ms)
{
	long left_ms = deadline_ms - now_ms();
	struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};

	/* A limit of zero would mean none. */
	return left_ms > 0 && setsockopt(fd, SOL_SOCKET, option, &left, sizeof(left)) == 0;
}

static enum outcome failed(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? HUNG : ODD;
}

static enum outcome connect_agent(int fd, long deadline_ms)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RELAY_SOCKET};
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!door_is_ours() || !limit(fd, SO_SNDTIMEO, deadline_ms))
		return ODD;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return failed();
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !trusted(peer.uid))
		return ODD;
	return DONE;
}

static enum outcome send_all(int fd, const char *from, size_t length, long deadline_ms)
{
	while (length > 0) {
		if (!limit(fd, SO_SNDTIMEO, deadline_ms))
			return HUNG;
		ssize_t part = send(fd, from, length, MSG_NOSIGNAL);

		if (part < 0 && errno != EINTR)
			return failed();
		from += part > 0 ? part : 0;
		length -= part > 0 ? part : 0;
	}
	return DONE;
}

/* A header's value as a number; -1 when it is missing or no number below `limit`. */
static long number_of(const char *head, const char *name, long below)
{
	const char *found = strcasestr(head, name);
	char *end;

	if (!found || found[strlen(name)] < '0' || found[strlen(name)] > '9')
		return -1;
	errno = 0;
	long value = strtol(found + strlen(name), &end, 10);

	return errno == 0 && value < below && (*end == '\r' || *end == '\0') ? value : -1;
}

/* Reads the `length` bytes of an answer that are there. True when it is whole and says how to end. */
static bool understand(size_t length, struct reply *reply)
{
	char *end = memmem(answer, length, "\r\n\r\n", 4);

	if (!end)
		return false;
	*end = '\0';
	long content = number_of(answer, "\r\nContent-Length: ", MAX_ANSWER);
	long status = number_of(answer, "\r\nNetloom-Exit-Status: ", 2);
	bool fine = strncmp(answer, "HTTP/1.", 7) == 0 && answer[7] && strncmp(answer + 8, " 200 ", 5) == 0;
	size_t head = end + 4 - answer;

	*end = '\r';
	*reply = (struct reply){.content = end + 4, .length = content, .exit_status = (int)status};
	return fine && content >= 0 && status >= 0 && length - head == (size_t)content;
}

static enum outcome receive(int fd, struct reply *reply, long deadline_ms)
{
	size_t length = 0;

	while (length < MAX_ANSWER) {
		if (!limit(fd, SO_RCVTIMEO, deadline_ms))
			return HUNG;
		ssize_t part = recv(fd, answer + length, MAX_ANSWER - length, 0);

		if (part == 0)
			return ODD;
		if (part < 0 && errno != EINTR)
			return failed();
		length += part > 0 ? part : 0;
		if (understand(length, reply))
			return DONE;
	}
	return ODD;
}

/* `length`: of variables and config, which stand behind the room for the head. */
static enum outcome ask(size_t length, struct reply *reply)
{
	char head[MAX_HEAD];
	long deadline_ms = now_ms() + RELAY_TIMEOUT_MS;
	int size = snprintf(head, sizeof(head),
			    "POST /v1/cni HTTP/1.0\r\nHost: netloom\r\nContent-Type: application/x-netloom-cni\r\n"
			    "Netloom-Deadline-Ms: %ld\r\nContent-Length: %zu\r\n\r\n",
			    deadline_ms - RELAY_TIMEOUT_MS / 10, length);
	char *start = call + MAX_HEAD - size;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || size < 0 || size >= MAX_HEAD)
		return ODD;
	memcpy(start, head, size);
	enum outcome outcome = connect_agent(fd, deadline_ms);

	if (outcome == DONE)
		outcome = send_all(fd, start, size + length, deadline_ms);
	return outcome == DONE ? receive(fd, reply, deadline_ms) : outcome;
}

int main(void)
{
	struct reply reply;
	char *variables = call + MAX_HEAD;
	size_t packed = pack_environment(variables);
	char *config = variables + packed;
	size_t length = read_config(config);

	if (packed == 0 || length > MAX_CONFIG || memmem(config, length, "\"socket\"", 8))
		return fall_back(config, length, "");
	enum outcome outcome = ask(packed + length, &reply);

	if (outcome != DONE)
		return fall_back(config, length, outcome == HUNG ? "hung" : "");
	return write_all(STDOUT_FILENO, reply.content, reply.length) ? reply.exit_status : 1;
}
