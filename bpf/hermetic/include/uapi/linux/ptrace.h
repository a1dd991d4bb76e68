/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Empty: the compiler's prelude includes this file, and needs nothing of it for the data path. */
