/* vfork returns twice on one stack, which no C function around it survives: it has to be a jump.
 * Which of the two implementations to jump to, C decides (process_fork.c). */
#include "shim/calls/process.h"

#if defined __x86_64__
__asm__(".text\n"
        ".globl vfork, __vfork\n"
        ".type vfork, @function\n"
        ".type __vfork, @function\n"
        "vfork:\n"
        "__vfork:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call process_vfork_target\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        "    .cfi_endproc\n"
        ".size vfork, .-vfork\n"
        ".size __vfork, .-__vfork\n");
#elif defined __aarch64__
__asm__(".text\n"
        ".globl vfork\n"
        ".globl __vfork\n"
        ".type vfork, %function\n"
        ".type __vfork, %function\n"
        "vfork:\n"
        "__vfork:\n"
        "    .cfi_startproc\n"
        "    hint #34\n"
        "    stp x29, x30, [sp, #-16]!\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset x29, -16\n"
        "    .cfi_offset x30, -8\n"
        "    bl process_vfork_target\n"
        "    ldp x29, x30, [sp], #16\n"
        "    .cfi_restore x29\n"
        "    .cfi_restore x30\n"
        "    .cfi_def_cfa_offset 0\n"
        "    mov x16, x0\n"
        "    br x16\n"
        "    .cfi_endproc\n"
        ".size vfork, .-vfork\n"
        ".size __vfork, .-__vfork\n");
#else
#    error "vfork needs a few lines for this architecture"
#endif
