package access

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckPath refuses a request whose path has more than one reading, before anything is decided
// on it. Caddy's placeholders see a path decoded, its matchers see it cleaned as well, and the
// upstream gets it as it came, to read as it likes: what is authorized has to be what the
// upstream resolves. original, which may be nil, is what the client sent where a rewrite has
// changed it: matchers and placeholders may have looked at that one.
func CheckPath(target, original *url.URL) *Refusal {
	if refused := checkURL(target); refused != nil {
		return refused
	}
	if original != nil && (original.Path != target.Path || original.RawPath != target.RawPath) {
		return checkURL(original)
	}
	return nil
}

func checkURL(u *url.URL) *Refusal {
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return Refuse(CodeInvalidRequest, "the request target is not a path")
	}
	if reason := SecondReading(u.EscapedPath()); reason != "" {
		return Refuse(CodeInvalidRequest, "the path has more than one reading: "+reason)
	}
	return nil
}

// mostDecodings is how often a path may be decoded and still change. Nobody encodes more often
// than twice by accident.
const mostDecodings = 3

// SecondReading says what in a path, as it is sent, somebody else could read in another way, or
// "" when there is nothing. A server behind the gateway may decode more than once, so each
// decoding has to be as plain as the path itself.
func SecondReading(path string) string {
	if isPlain(path) {
		return ""
	}
	for range mostDecodings {
		if reason := ambiguity(path); reason != "" {
			return reason
		}
		decoded := decodeOnce(path)
		if decoded == path {
			return ""
		}
		path = decoded
	}
	return "it is encoded several times over"
}

// isPlain is the quick yes for the paths that nearly all requests have.
func isPlain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f, c == '%', c == '\\', c == ';':
			return false
		case c == '/' && i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.'):
			return false
		}
	}
	return true
}

// ambiguity looks at one decoding.
func ambiguity(path string) string {
	if !utf8.ValidString(path) {
		return "it is not UTF-8"
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ' || c == 0x7f:
			return "it has a control character"
		case c == '\\':
			return `it has a \`
		case c == '/' && i+1 < len(path) && path[i+1] == '/':
			return "it has an empty segment (//)"
		case c == '%' && i+2 < len(path):
			switch strings.ToLower(path[i+1 : i+3]) {
			case "2e":
				return "it has an encoded . (%2e)"
			case "2f":
				return "it has an encoded / (%2f)"
			case "5c":
				return `it has an encoded \ (%5c)`
			case "00":
				return "it has an encoded NUL (%00)"
			}
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if reason := ambiguousSegment(segment); reason != "" {
			return reason
		}
	}
	return ""
}

// ambiguousSegment looks at what is between two slashes. Some servers cut it at ; and some take white space away from its
// end, and dots with it, before they resolve dots and leave out what is empty.
func ambiguousSegment(segment string) string {
	name, _, _ := strings.Cut(segment, ";")
	switch {
	case segment == "":
		return "" // at either end of the path
	case name == "":
		return "it has an empty segment (;)"
	case name == "." || name == "..":
		return "it has a dot segment (" + name + ")"
	case strings.TrimFunc(name, isDotOrSpace) == "" && strings.Trim(name, ".") != "":
		return "it has a segment of white space"
	}
	return ""
}

func isDotOrSpace(c rune) bool { return c == '.' || unicode.IsSpace(c) }

// decodeOnce decodes what is percent-encoded and leaves alone what only looks like it.
func decodeOnce(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
