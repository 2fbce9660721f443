package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A walker goes over the rest of a text that is valid JSON (RFC 8259), and so needs only to find where things end.
// The tokens of encoding/json say the same, and cost several times as much.
type walker struct{ rest []byte }

// next is the first byte of what comes, behind white space.
func (w *walker) next() byte {
	for i, c := range w.rest {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			w.rest = w.rest[i:]
			return c
		}
	}
	w.rest = nil
	return 0
}

// skip goes on behind so many bytes.
func (w *walker) skip(n int) { w.rest = w.rest[n:] }

// object goes over the object that comes, which is of that depth. It asks of each name whether it was there
// already, and tells each member.
func (w *walker) object(depth int, was func(name string) bool, member func(name string, value []byte)) error {
	w.skip(1)
	for w.next() != '}' {
		quoted := w.rest[:stringEnd(w.rest)]
		name := text(quoted)
		if was(name) {
			return fmt.Errorf("%.64q is there more than once", name)
		}
		w.skip(len(quoted))
		w.next()
		w.skip(1) // the colon
		value, err := w.value(depth + 1)
		if err != nil {
			return err
		}
		member(name, value)
		if w.next() == ',' {
			w.skip(1)
		}
	}
	w.skip(1)
	return nil
}

// list goes over the list that comes, which is of that depth.
func (w *walker) list(depth int) error {
	w.skip(1)
	for w.next() != ']' {
		if _, err := w.value(depth + 1); err != nil {
			return err
		}
		if w.next() == ',' {
			w.skip(1)
		}
	}
	w.skip(1)
	return nil
}

// value goes over the value that comes, and returns it as it stands there. An object or a list would be of that
// depth.
func (w *walker) value(depth int) ([]byte, error) {
	var err error
	first := w.next()
	value := w.rest
	switch first {
	case '"':
		w.skip(stringEnd(w.rest))
	case '{', '[':
		if depth > MaxDepth {
			return nil, fmt.Errorf("the JSON is nested deeper than %d", MaxDepth)
		}
		if first == '[' {
			err = w.list(depth)
			break
		}
		seen := make(map[string]bool)
		err = w.object(depth,
			func(name string) bool { return seen[name] },
			func(name string, _ []byte) { seen[name] = true })
	default: // a number, true, false or null
		w.skip(scalarEnd(w.rest))
	}
	return value[:len(value)-len(w.rest)], err
}

// stringEnd is the length of the JSON string that data, which is valid, begins with, with its quotes.
func stringEnd(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// scalarEnd is the length of the number, true, false or null that data begins with.
func scalarEnd(data []byte) int {
	if i := bytes.IndexAny(data, " \t\r\n,]}"); i >= 0 {
		return i
	}
	return len(data)
}

// text is that of a JSON string.
func text(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		panic(err) // it was found to be valid
	}
	return text
}
