/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a CNI program for one container after another, as a runtime does: each call is a process of its own, and its
 * time is from posix_spawn to its exit. Prints nanoseconds, a line for each call.
 *
 *   attachbench PROGRAM CONFIG NETNS_PREFIX FIRST COUNT ADD|DEL
 *
 * Container N lives in /run/netns/<NETNS_PREFIX>N. The first call that fails ends it, with what the program said.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void show(int output)
{
	char part[4096];
	ssize_t length;

	lseek(output, 0, SEEK_SET);
	while ((length = read(output, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)length, stderr);
}

static long long call(char *program, const char *config, char *const environment[], int output)
{
	char *arguments[] = { program, NULL };
	posix_spawn_file_actions_t actions;
	long long began, took;
	int status;
	pid_t child;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, config, O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (ftruncate(output, 0) || lseek(output, 0, SEEK_SET))
		fail("output");
	began = now_ns();
	errno = posix_spawn(&child, program, &actions, NULL, arguments, environment);
	if (errno)
		fail(program);
	if (waitpid(child, &status, 0) != child)
		fail("wait");
	took = now_ns() - began;
	posix_spawn_file_actions_destroy(&actions);
	if (status) {
		show(output);
		exit(1);
	}
	return took;
}

int main(int count, char *words[])
{
	char command[32], container[64], netns[512];
	char *environment[] = { command, container, netns, "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni",
				"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	int output, number, first;

	if (count != 7) {
		fprintf(stderr, "usage: attachbench PROGRAM CONFIG NETNS_PREFIX FIRST COUNT ADD|DEL\n");
		return 2;
	}
	output = memfd_create("output", MFD_CLOEXEC);
	if (output < 0)
		fail("memfd");
	first = atoi(words[4]);
	snprintf(command, sizeof(command), "CNI_COMMAND=%s", words[6]);
	for (number = first; number < first + atoi(words[5]); number++) {
		snprintf(container, sizeof(container), "CNI_CONTAINERID=bench%d", number);
		snprintf(netns, sizeof(netns), "CNI_NETNS=/run/netns/%s%d", words[3], number);
		printf("%lld\n", call(words[1], words[2], environment, output));
	}
	return 0;
}
