//go:build linux && !noring

package ring

import "testing"

// A burst leaves no goroutines behind, but those in use stay.
func TestIdleGoroutinesAreLetGo(t *testing.T) {
	var g goroutines
	chans := make([]chan task, 10)
	for i := range chans {
		chans[i] = make(chan task, 1)
		if !g.park(chans[i]) {
			t.Fatal("refused to park")
		}
	}
	thin := func() {
		g.thin()
		if g.trim != nil {
			g.trim.Stop() // the test is the clock
		}
	}
	g.trim.Stop()
	closed := func() (n int) {
		for _, ch := range chans {
			select {
			case _, ok := <-ch:
				if !ok {
					n++
				}
			default:
			}
		}
		return n
	}

	thin() // begins a period: nobody knows yet which are needed
	if n := closed(); n != 0 {
		t.Fatalf("%d let go before a period had passed", n)
	}
	for range 4 { // four are needed at once
		g.run(nil, task{})
	}
	for _, ch := range chans[6:] {
		<-ch
		g.park(ch)
	}
	thin()
	if n, want := closed(), 10-4-idleKeep; n != want {
		t.Fatalf("%d let go, want %d", n, want)
	}
	thin()
	thin()
	if n, want := closed(), 10-idleKeep; n != want || len(g.parked) != idleKeep || g.trim != nil {
		t.Fatalf("%d let go, want %d; %d parked, timer %v", n, want, len(g.parked), g.trim)
	}
}
