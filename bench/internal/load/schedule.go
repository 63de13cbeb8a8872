package load

import "time"

// schedule gives the arrival times of an open loop: the i-th request arrives i
// intervals after the start, whether or not the server kept up until then.
// Times are nanoseconds since the load began.
type schedule struct {
	interval float64
	next     int64 // index of the next arrival
	end      int64 // no arrival from here on
}

func newSchedule(rate float64, end time.Duration) schedule {
	return schedule{interval: float64(time.Second) / rate, end: int64(end)}
}

// arrival is when the next request arrives; ok is false after the last.
func (s *schedule) arrival() (at int64, ok bool) {
	at = int64(float64(s.next) * s.interval)
	return at, at < s.end
}

// take consumes the next arrival.
func (s *schedule) take() { s.next++ }
