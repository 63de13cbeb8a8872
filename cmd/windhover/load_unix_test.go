//go:build unix

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// load is a number of clients that ask for url until they are told to stop.
type load struct {
	stopping atomic.Bool
	wg       sync.WaitGroup
	answers  atomic.Int64

	mu     sync.Mutex
	lost   []string
	reset  []string // lost with connections that nothing had come from yet
	target int64
	goal   chan struct{}
}

// startLoad starts clients that keep their connection, and others that open a
// fresh one for each request. A request that gets anything but 200 is lost,
// except that a client ends when nobody listens any more. package net/http sends
// a lost GET again by itself, but no POST: method says how strict to be.
func startLoad(t *testing.T, method, url string, kept, fresh int) *load {
	t.Helper()
	l := &load{goal: make(chan struct{})}
	for i := range kept + fresh {
		tr := &http.Transport{DisableKeepAlives: i >= kept}
		c := &http.Client{Transport: tr, Timeout: patience}
		l.wg.Go(func() {
			defer tr.CloseIdleConnections()
			for !l.stopping.Load() {
				reused := false
				err := sendTraced(c, method, url, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
				if err != nil {
					l.ended(err, reused)
					return
				}
				l.count()
			}
		})
	}
	t.Cleanup(func() {
		l.stopping.Store(true)
		l.wg.Wait()
	})
	return l
}

// ended takes note of why a client ends.
func (l *load) ended(err error, reused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case isRefused(err):
	case !reused && errors.Is(err, syscall.ECONNRESET):
		l.reset = append(l.reset, err.Error())
	default:
		l.lost = append(l.lost, err.Error())
	}
}

func (l *load) count() {
	n := l.answers.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target > 0 && n >= l.target {
		close(l.goal)
		l.target = 0
	}
}

// awaitMore returns when n more requests have been answered.
func (l *load) awaitMore(n int64) {
	goal := make(chan struct{})
	l.mu.Lock()
	l.goal, l.target = goal, l.answers.Load()+n
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(ended)
	}()
	select {
	case <-goal:
	case <-ended: // every client has lost a request: the test will say so
	}
}

// end stops the clients, waits for them and returns what was lost.
func (l *load) end() []string {
	l.stopping.Store(true)
	lost, reset := l.wait()
	return append(lost, reset...)
}

// wait waits for the clients to end. reset are the requests on connections that
// no process has accepted when the socket is closed: the kernel resets those.
func (l *load) wait() (lost, reset []string) {
	l.wg.Wait()
	return l.lost, l.reset
}

func ask(c *http.Client, url string) error { return send(c, http.MethodGet, url) }

func send(c *http.Client, method, url string) error { return sendTraced(c, method, url, nil) }

func sendTraced(c *http.Client, method, url string, trace *httptrace.ClientTrace) error {
	ctx := context.Background()
	if trace != nil {
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return nil
}
