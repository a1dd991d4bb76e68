/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds a pod's namespaces until it is told to end, and reaps what others leave to it: as process 1 it has no
 * default actions for signals, so it waits for those it cares for.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void)
{
	sigset_t wanted;
	int number = 0;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGCHLD);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	do {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	} while (sigwait(&wanted, &number) == 0 && number == SIGCHLD);
	return 0;
}
