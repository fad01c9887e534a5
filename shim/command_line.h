/* What the program was started with, as far as it names virtual files. */
#ifndef S3DLIO_SHIM_COMMAND_LINE_H
#define S3DLIO_SHIM_COMMAND_LINE_H

/* Tells the engine, which has just been loaded, that the program is likely to open them in this
 * order (s3dlio_expect). Relative names count where the working directory is virtual. The kernel
 * is asked (proc(5), /proc/PID/cmdline), because programs write over their arguments; without
 * /proc nothing is told. */
void command_line_expect(void);

#endif
