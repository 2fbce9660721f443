// Package strictjsontest is a second reader of JSON, for tests of what reads JSON strictly. It shares no code with
// encoding/json, and none with what it is compared with: it reads character by character, by the grammar of RFC 8259.
package strictjsontest

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A Kind is one of the six kinds of values.
type Kind byte

// The kinds.
const (
	Null   Kind = 'n'
	Bool   Kind = 'b'
	Number Kind = '0'
	String Kind = '"'
	List   Kind = '['
	Object Kind = '{'
)

// A Value is a JSON value.
type Value struct {
	Kind Kind

	// Raw is how it was written, without the white space around.
	Raw string

	// Text is of a String what it says. Half of a surrogate pair (RFC 8259 section 8.2) says U+FFFD.
	Text string

	Elements []Value  // of a List
	Members  []Member // of an Object, in order; two may have the same name
}

// A Member is one of an object.
type Member struct {
	Name  string
	Value Value
}

// Get is the member of that name; ok is false where there is none. The first counts.
func (v Value) Get(name string) (value Value, ok bool) {
	for _, member := range v.Members {
		if member.Name == name {
			return member.Value, true
		}
	}
	return Value{}, false
}

// Depth is how deep objects and lists are nested: 0 of a value that is neither.
func (v Value) Depth() int {
	if v.Kind != List && v.Kind != Object {
		return 0
	}
	deepest := 0
	for _, element := range v.Elements {
		deepest = max(deepest, element.Depth())
	}
	for _, member := range v.Members {
		deepest = max(deepest, member.Value.Depth())
	}
	return deepest + 1
}

// Repeats reports whether a name is there twice in any object of the value.
func (v Value) Repeats() bool {
	seen := make(map[string]bool)
	for _, member := range v.Members {
		if seen[member.Name] || member.Value.Repeats() {
			return true
		}
		seen[member.Name] = true
	}
	for _, element := range v.Elements {
		if element.Repeats() {
			return true
		}
	}
	return false
}

// mostNested keeps the reader from running out of stack. It is what encoding/json goes down to.
const mostNested = 10_000

// Read reads a text that is one value with nothing but white space around; ok is false for any other text, for what is
// not UTF-8, and for more than 10,000 levels.
func Read(text string) (value Value, ok bool) {
	if !utf8.ValidString(text) {
		return Value{}, false
	}
	r := reader{rest: text}
	r.space()
	value = r.value(0)
	r.space()
	return value, !r.failed && r.rest == ""
}

type reader struct {
	rest   string
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = "", true }

func (r *reader) space() { r.rest = strings.TrimLeft(r.rest, " \t\r\n") }

// peek is the next byte; 0 is none, and is in no text but inside of strings, where it is refused.
func (r *reader) peek() byte {
	if r.rest == "" {
		return 0
	}
	return r.rest[0]
}

// take goes over a text that must come next.
func (r *reader) take(text string) {
	if !strings.HasPrefix(r.rest, text) {
		r.fail()
		return
	}
	r.rest = r.rest[len(text):]
}

// next goes over a character, and reports whether it came.
func (r *reader) next(c byte) bool {
	if r.peek() != c || r.rest == "" {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *reader) value(depth int) (v Value) {
	if depth > mostNested {
		r.fail()
		return v
	}
	begin := r.rest
	switch c := r.peek(); c {
	case 'n':
		v.Kind = Null
		r.take("null")
	case 't':
		v.Kind = Bool
		r.take("true")
	case 'f':
		v.Kind = Bool
		r.take("false")
	case '"':
		v.Kind, v.Text = String, r.text()
	case '[':
		v.Kind = List
		r.sequence(']', func() { v.Elements = append(v.Elements, r.value(depth+1)) })
	case '{':
		v.Kind = Object
		r.sequence('}', func() {
			name := r.text()
			r.space()
			r.take(":")
			r.space()
			v.Members = append(v.Members, Member{name, r.value(depth + 1)})
		})
	default:
		v.Kind = Number
		r.number()
	}
	v.Raw = begin[:len(begin)-len(r.rest)]
	return v
}

// sequence reads from a bracket to the other one what has commas between.
func (r *reader) sequence(end byte, one func()) {
	r.rest = r.rest[1:]
	r.space()
	if r.next(end) {
		return
	}
	for !r.failed {
		one()
		r.space()
		if r.next(end) {
			return
		}
		r.take(",")
		r.space()
	}
}

func (r *reader) digits() {
	after := strings.TrimLeft(r.rest, "0123456789")
	if after == r.rest {
		r.fail()
		return
	}
	r.rest = after
}

func (r *reader) number() {
	r.next('-')
	if !r.next('0') {
		r.digits()
	}
	if r.next('.') {
		r.digits()
	}
	if r.next('e') || r.next('E') {
		if !r.next('+') {
			r.next('-')
		}
		r.digits()
	}
}

var escapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (r *reader) text() string {
	r.take(`"`)
	var b strings.Builder
	for !r.failed {
		c, size := utf8.DecodeRuneInString(r.rest)
		switch {
		case r.next('"'):
			return b.String()
		case r.rest == "" || c < ' ':
			r.fail()
		case r.next('\\'):
			b.WriteRune(r.escape())
		default:
			b.WriteRune(c)
			r.rest = r.rest[size:]
		}
	}
	return ""
}

func (r *reader) escape() rune {
	if r.next('u') {
		first := r.unit()
		if !utf16.IsSurrogate(first) {
			return first
		}
		ahead := *r
		if ahead.next('\\') && ahead.next('u') {
			if pair := utf16.DecodeRune(first, ahead.unit()); pair != utf8.RuneError && !ahead.failed {
				*r = ahead
				return pair
			}
		}
		return utf8.RuneError
	}
	c, known := escapes[r.peek()]
	if !known {
		r.fail()
		return 0
	}
	r.rest = r.rest[1:]
	return c
}

// unit is the four digits of a \u.
func (r *reader) unit() rune {
	var c rune
	for range 4 {
		digit := strings.IndexByte("0123456789abcdef", r.peek()|0x20)
		if r.peek() == 0 || digit < 0 || (digit < 10 && r.peek() != byte('0'+digit)) {
			r.fail()
			return 0
		}
		c = c<<4 | rune(digit)
		r.rest = r.rest[1:]
	}
	return c
}
