/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The compiler includes this file before everything else. */
#ifndef NETLOOM_LINUX_KCONFIG_H
#define NETLOOM_LINUX_KCONFIG_H

/* Without it the compiler's prelude hides struct bpf_map_def and the helpers. */
#define CONFIG_BPF_SYSCALL 1

#include <linux/types.h>

#endif
