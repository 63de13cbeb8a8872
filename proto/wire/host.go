package wire

// validHost reports whether b is a host with an optional port, as Kestrel
// reads RFC 3986: a name of letters, digits and "!$&'()-._~", or an IP literal
// of at least three characters in brackets, each optionally followed by a
// colon and digits. Kestrel's set leaves out what the grammar allows but no
// real host has: percent-encoding, "*+,;=", an empty port, zones.
func validHost(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	i := 0
	if b[0] == '[' {
		i = 1
		for i < len(b) && classes[b[i]]&classLiteral != 0 {
			i++
		}
		if i < 4 || i == len(b) || b[i] != ']' {
			return false
		}
		i++
	} else {
		for i < len(b) && classes[b[i]]&classHost != 0 {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(b) {
		return true
	}
	return b[i] == ':' && isDigits(b[i+1:])
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// splitPort splits a valid host. The port is empty when there is none.
func splitPort(b []byte) (name, port []byte) {
	for i := len(b) - 1; i >= 0; i-- {
		switch c := b[i]; {
		case c == ':':
			return b[:i], b[i+1:]
		case c < '0' || c > '9':
			return b, nil
		}
	}
	return b, nil
}

// resolveHost checks the Host field against version and target, and finds out
// who the request is for (RFC 9112 section 3.2, 3.2.2 and 3.3).
func (h *Head) resolveHost(sp *special) Reason {
	if !sp.has(FieldHost) {
		if h.Version == HTTP11 {
			return ReasonMissingHost
		}
		h.Host = h.Authority
		return ReasonNone
	}
	if sp.twice(FieldHost) {
		return ReasonMultipleHosts
	}
	span := h.Fields[sp.first[FieldHost]].Value
	host := h.Bytes(span)
	if len(host) > 0 && !validHost(host) {
		return ReasonInvalidHost
	}
	if h.Form == OriginForm || h.Form == AsteriskForm {
		h.Host = span
		return ReasonNone
	}
	h.Host = h.Authority
	if h.Form == AuthorityForm {
		// Clients that speak to a tunnel endpoint, net/http's among them, send
		// its name in Host; the target decides.
		return ReasonNone
	}
	if !h.sameAuthority(h.Bytes(h.Authority), host) {
		return ReasonHostMismatch
	}
	return ReasonNone
}

// sameAuthority compares ignoring case; the default port of the target's
// scheme is the same as none.
func (h *Head) sameAuthority(a, b []byte) bool {
	aName, aPort := splitPort(a)
	bName, bPort := splitPort(b)
	if len(aName) != len(bName) || !sameName(aName, string(bName)) {
		return false
	}
	defaultPort := ""
	switch h.Scheme.Len {
	case 4:
		defaultPort = "80"
	case 5:
		defaultPort = "443"
	}
	return portOr(aPort, defaultPort) == portOr(bPort, defaultPort)
}

func portOr(port []byte, other string) string {
	if len(port) == 0 {
		return other
	}
	return string(port)
}
