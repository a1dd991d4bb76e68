/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The compiler's prelude includes this file for the classic BPF opcodes; of these it uses the class alone. */
#ifndef NETLOOM_LINUX_BPF_COMMON_H
#define NETLOOM_LINUX_BPF_COMMON_H

#define BPF_CLASS(code) ((code) & 0x07)

#endif
