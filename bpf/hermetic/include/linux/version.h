/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NETLOOM_LINUX_VERSION_H
#define NETLOOM_LINUX_VERSION_H

#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + (patch))

/* Normally given by the compiler from the running kernel; otherwise the oldest one Netloom runs on. */
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
#endif

#endif
