//go:build !linux

package load

import "context"

const haveEpoll = false

// runEpoll is package net's engine where there is no epoll.
func runEpoll(ctx context.Context, spec *Spec) (*Result, error) { return runNet(ctx, spec) }
