package config

import (
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is where one option is stored. set parses texts (one, except for
// lists) and returns an error that says what would be accepted; texts shows the
// value in the form that set takes.
type value interface {
	set(texts []string) error
	texts() []string
}

// allowed is the error of a value: it says what would be accepted.
type allowed string

func (a allowed) Error() string { return string(a) }

// scalar is a value of one text.
type scalar struct {
	parse func(string) error
	show  func() string
}

func (s scalar) set(texts []string) error {
	if len(texts) != 1 {
		return allowed("a single value")
	}
	return s.parse(strings.TrimSpace(texts[0]))
}

func (s scalar) texts() []string { return []string{s.show()} }

// list is a value of any number of texts, each of which may hold several,
// separated by sep.
type list struct {
	p     *[]string
	sep   string
	check func(string) error
}

func (l list) set(texts []string) error {
	var out []string
	for _, text := range texts {
		for part := range strings.SplitSeq(text, l.sep) {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if l.check != nil {
				if err := l.check(part); err != nil {
					return err
				}
			}
			out = append(out, part)
		}
	}
	*l.p = out
	return nil
}

func (l list) texts() []string { return *l.p }

func text(p *string) value {
	return scalar{func(s string) error { *p = s; return nil }, func() string { return *p }}
}

// secret is text that is never shown.
func secret(p *string) value {
	return scalar{func(s string) error { *p = s; return nil }, func() string {
		if *p == "" {
			return ""
		}
		return "(hidden)"
	}}
}

func oneOf(p *string, choices ...string) value {
	parse := func(s string) error {
		s = strings.ToLower(s)
		if !slices.Contains(choices, s) {
			return allowed(strings.Join(choices, ", "))
		}
		*p = s
		return nil
	}
	return scalar{parse, func() string { return *p }}
}

func someOf(p *[]string, choices ...string) value {
	return list{p, ",", func(s string) error {
		if !slices.Contains(choices, s) {
			return allowed("any of " + strings.Join(choices, ", "))
		}
		return nil
	}}
}

func boolean(p *bool) value {
	parse := func(s string) error {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			*p = true
		case "false", "no", "off", "0":
			*p = false
		default:
			return allowed("true or false")
		}
		return nil
	}
	return scalar{parse, func() string { return strconv.FormatBool(*p) }}
}

func isOff(s string) bool {
	switch strings.ToLower(s) {
	case "unlimited", "none", "off":
		return true
	}
	return false
}

// number is a count of at least low. off says that it may be switched off.
func number(p *int64, low int64, off bool) value {
	return integer(p, low, math.MaxInt64, off, parseInt)
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// size is a number of bytes from low to what an int holds on every platform.
func size(p *int64, low int64, off bool) value {
	return integer(p, low, math.MaxInt64, off, parseSize)
}

// bufferSize is a size that the server keeps in an int of any width.
func bufferSize(p *int64, low int64, off bool) value {
	return integer(p, low, math.MaxInt32, off, parseSize)
}

func integer(p *int64, low, high int64, off bool, parse func(string) (int64, error)) value {
	want := fmt.Sprintf("%d or more", low)
	if high != math.MaxInt64 {
		want = fmt.Sprintf("%d to %d", low, high)
	}
	if off {
		want += `, or "unlimited"`
	}
	return scalar{
		func(s string) error {
			if off && isOff(s) {
				*p = Unlimited
				return nil
			}
			n, err := parse(s)
			if err != nil || n < low || n > high {
				return allowed(want)
			}
			*p = n
			return nil
		},
		func() string {
			if *p == Unlimited {
				return "unlimited"
			}
			return strconv.FormatInt(*p, 10)
		},
	}
}

var sizeUnits = []struct {
	suffix string
	factor float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"b", 1},
}

// parseSize reads "8192", "8KiB", "1.5 MB"; k, m and g alone are powers of
// 1024.
func parseSize(s string) (int64, error) {
	lower, factor := strings.ToLower(s), 1.0
	for _, unit := range sizeUnits {
		if digits, ok := strings.CutSuffix(lower, unit.suffix); ok {
			lower, factor = strings.TrimSpace(digits), unit.factor
			break
		}
	}
	if factor == 1 {
		return strconv.ParseInt(lower, 10, 64)
	}
	f, err := strconv.ParseFloat(lower, 64)
	if err != nil || f != f || f*factor < 0 || f*factor >= math.MaxInt64 {
		return 0, strconv.ErrSyntax
	}
	return int64(f * factor), nil
}

// span is a duration above low, or from low on when low itself is allowed.
func span(p *time.Duration, low time.Duration, including, off bool) value {
	want := fmt.Sprintf(`more than %v, such as "30s" or "2m"`, low)
	if including {
		want = fmt.Sprintf(`%v or more, such as "30s" or "2m"`, low)
	}
	if off {
		want += `, or "unlimited"`
	}
	return scalar{
		func(s string) error {
			if off && isOff(s) {
				*p = Unlimited
				return nil
			}
			d, err := time.ParseDuration(s)
			if s == "0" || err != nil || d < low || d == low && !including {
				if including && s == "0" && low == 0 {
					*p = 0
					return nil
				}
				return allowed(want)
			}
			*p = d
			return nil
		},
		func() string {
			if *p == Unlimited {
				return "unlimited"
			}
			return p.String()
		},
	}
}

// rate is bytes per second, above zero, or off.
func rate(p *float64) value {
	return scalar{
		func(s string) error {
			if isOff(s) {
				*p = Unlimited
				return nil
			}
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || !(f > 0) || math.IsInf(f, 0) {
				return allowed(`bytes per second, more than 0, or "off"`)
			}
			*p = f
			return nil
		},
		func() string {
			if *p < 0 {
				return "off"
			}
			return strconv.FormatFloat(*p, 'g', -1, 64)
		},
	}
}

// fileMode is the permission bits of a socket file, in octal. In a file it must
// be quoted: the formats disagree about what the number 0660 is.
type fileMode struct{ p *fs.FileMode }

const fileModeAllowed = allowed(`a quoted octal number from "0001" to "0777", such as "0660"`)

func (m fileMode) set(texts []string) error {
	if len(texts) != 1 {
		return fileModeAllowed
	}
	if texts[0] == "" {
		*m.p = 0
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(texts[0], "0o"), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return fileModeAllowed
	}
	*m.p = fs.FileMode(n)
	return nil
}

func (m fileMode) texts() []string {
	if *m.p == 0 {
		return []string{""}
	}
	return []string{fmt.Sprintf("%#o", uint32(*m.p))}
}

// networks is a list of addresses and networks.
type networks struct{ p *[]netip.Prefix }

func (n networks) set(texts []string) error {
	var parts []string
	if err := (list{&parts, ",", nil}).set(texts); err != nil {
		return err
	}
	var out []netip.Prefix
	for _, part := range parts {
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			addr, addrErr := netip.ParseAddr(part)
			if addrErr != nil || addr.Zone() != "" {
				return allowed(`addresses and networks, such as "10.0.0.1" or "fd00::/8"`)
			}
			prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		out = append(out, prefix.Masked())
	}
	*n.p = out
	return nil
}

func (n networks) texts() []string {
	out := make([]string, len(*n.p))
	for i, prefix := range *n.p {
		out[i] = prefix.String()
	}
	return out
}

// integerInt32 is a number that fits every platform's int.
func integerInt32(p *int64, low int64) value {
	return integer(p, low, math.MaxInt32, false, parseInt)
}
