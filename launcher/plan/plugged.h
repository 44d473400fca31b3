/* plugged - names of what was plugged into a running VM. */
#pragma once

/* "cpu2": the vCPU of that index; new string. */
char *plugged_cpu_id(unsigned index);
