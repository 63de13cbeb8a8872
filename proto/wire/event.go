package wire

// Event is what [Conn.Next] has found.
type Event uint8

const (
	// NeedData asks for more input. The n bytes that Next has consumed are
	// gone; the caller keeps the others and calls again with more appended.
	// n counts towards a body limit while a body is being read.
	NeedData Event = iota
	// Request is a complete head, in the Head given to Next. n counts empty
	// lines in front of it too.
	Request
	// Content is a piece of the body, to be had from [Conn.Content]; n also
	// counts the framing around it. The piece is empty when only framing was
	// there to consume.
	Content
	// End is the end of the message. n counts the trailer section, if any,
	// and nothing else. The next call looks for the next request.
	End
	// Failed is an error of the peer, to be had from [Conn.Err]. n is 0, and
	// so it remains in every later call.
	Failed
)

// String returns the name of the event.
func (e Event) String() string {
	switch e {
	case NeedData:
		return "NeedData"
	case Request:
		return "Request"
	case Content:
		return "Content"
	case End:
		return "End"
	case Failed:
		return "Failed"
	}
	return "Event(?)"
}
