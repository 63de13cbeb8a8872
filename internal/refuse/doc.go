// Package refuse runs programs that the kernel refuses some system calls, for
// tests of what a program does in a container that forbids io_uring (Linux). A
// test binary that imports it can be started as such a program.
package refuse
