/* SPDX-License-Identifier: Apache-2.0
 *
 * Both ends of a TCP measurement, each held to one CPU.
 *
 *   tcpbench server  ADDRESS PORT CPU             serves one connection after another until it is ended
 *   tcpbench rr      ADDRESS PORT CPU SECONDS     one byte there, one byte back, again and again
 *   tcpbench stream  ADDRESS PORT CPU SECONDS     as many bytes as will go
 *   tcpbench connect ADDRESS PORT CPU SECONDS     connect, one byte there, one byte back, close
 *
 * A connection's first byte tells the server what it is for. The client prints one line of JSON. In `connect` the
 * server closes first, so that used-up ports (TIME_WAIT) gather at the end that does not need them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAM_BUFFER_BYTES = 128 * 1024, MAX_SAMPLES = 1 << 22, WARM_UP_ROUNDS = 500 };

/* Not the machine's default: one that paces, such as BBR, would measure its timers. */
static const char congestion_control[] = "cubic";

static char buffer[STREAM_BUFFER_BYTES];

static void fail(const char *what)
{
	fprintf(stderr, "tcpbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void hold_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1) {
		errno = EINVAL;
		fail(address);
	}
	return sa;
}

static int new_socket(void)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		fail("TCP_NODELAY");
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_control, sizeof(congestion_control) - 1))
		fail("TCP_CONGESTION");
	return fd;
}

static int connected(const struct sockaddr_in *peer)
{
	int fd = new_socket();

	if (connect(fd, (const struct sockaddr *)peer, sizeof(*peer)))
		fail("connect");
	return fd;
}

static void send_byte(int fd, char byte)
{
	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		fail("send");
}

static void receive_byte(int fd)
{
	char byte;

	if (recv(fd, &byte, 1, 0) != 1)
		fail("recv");
}

static void serve_connection(int fd)
{
	char purpose;

	if (recv(fd, &purpose, 1, 0) != 1)
		return;
	if (purpose == 's') {
		while (recv(fd, buffer, sizeof(buffer), 0) > 0)
			;
		return;
	}
	send_byte(fd, purpose);
	if (purpose == 'r')
		while (recv(fd, &purpose, 1, 0) == 1)
			send_byte(fd, purpose);
}

static _Noreturn void serve(const struct sockaddr_in *local)
{
	int one = 1;
	int listener = new_socket();

	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		fail("SO_REUSEADDR");
	if (bind(listener, (const struct sockaddr *)local, sizeof(*local)))
		fail("bind");
	if (listen(listener, 64))
		fail("listen");
	puts("listening");
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			fail("accept");
		serve_connection(fd);
		close(fd);
	}
}

static int by_value(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static void print_latency(uint32_t *samples, size_t count, double seconds)
{
	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"per_second\": %.1f, \"p50_ns\": %u, \"p99_ns\": %u}\n", (double)count / seconds, samples[count / 2],
	       samples[count * 99 / 100]);
}

/* Repeats `round` until the time is over and prints the distribution of how long each took. */
static void measure_rounds(void (*round)(const struct sockaddr_in *, int), const struct sockaddr_in *peer, int fd,
			   double seconds)
{
	uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples));
	uint64_t start, at, end;
	size_t count = 0;

	if (!samples)
		fail("malloc");
	for (int i = 0; i < WARM_UP_ROUNDS; i++)
		round(peer, fd);
	start = at = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	while (at < end && count < MAX_SAMPLES) {
		uint64_t before = at;

		round(peer, fd);
		at = now_ns();
		samples[count++] = (uint32_t)(at - before);
	}
	print_latency(samples, count, (double)(at - start) / 1e9);
	free(samples);
}

static void rr_round(const struct sockaddr_in *peer, int fd)
{
	(void)peer;
	send_byte(fd, 'x');
	receive_byte(fd);
}

static void connect_round(const struct sockaddr_in *peer, int fd)
{
	char rest;

	fd = connected(peer);
	send_byte(fd, 'c');
	receive_byte(fd);
	if (recv(fd, &rest, 1, 0) != 0)
		fail("end of the connection");
	close(fd);
}

static void stream(const struct sockaddr_in *peer, double seconds)
{
	int fd = connected(peer);
	uint64_t bytes = 0, start, end, at;
	char rest;

	send_byte(fd, 's');
	start = at = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	while (at < end) {
		ssize_t sent = send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);

		if (sent < 0)
			fail("send");
		bytes += (uint64_t)sent;
		at = now_ns();
	}
	/* Only what has arrived counts: the server closes once it has read everything. */
	if (shutdown(fd, SHUT_WR) || recv(fd, &rest, 1, 0) != 0)
		fail("end of the stream");
	printf("{\"bits_per_second\": %.0f}\n", (double)bytes * 8e9 / (double)(now_ns() - start));
	close(fd);
}

static int run_client(const char *what, const struct sockaddr_in *peer, double seconds)
{
	if (!strcmp(what, "stream")) {
		stream(peer, seconds);
	} else if (!strcmp(what, "connect")) {
		measure_rounds(connect_round, peer, -1, seconds);
	} else if (!strcmp(what, "rr")) {
		int fd = connected(peer);

		send_byte(fd, 'r');
		receive_byte(fd);
		measure_rounds(rr_round, peer, fd, seconds);
		close(fd);
	} else {
		fprintf(stderr, "tcpbench: \"%s\" is no measurement, expected rr, stream or connect\n", what);
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa;

	if (argc < 5) {
		fprintf(stderr, "usage: tcpbench server|rr|stream|connect ADDRESS PORT CPU [SECONDS]\n");
		return 2;
	}
	sa = address_of(argv[2], argv[3]);
	hold_to_cpu(atoi(argv[4]));
	if (!strcmp(argv[1], "server"))
		serve(&sa);
	return run_client(argv[1], &sa, argc > 5 ? atof(argv[5]) : 1.0);
}
