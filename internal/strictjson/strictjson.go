// Package strictjson reads JSON objects that come from outside in the one way that leaves no
// second reading: encoding/json takes the last of several members of one name, matches names in
// any case and repairs broken text; each of these has let somebody say one thing to a check and
// another to what came after it.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may be nested; the object that is read is the first level.
const MaxDepth = 16

// Members reads data as a single JSON object (RFC 8259) and returns its members. Refused, with
// an error made to be shown to the sender: text that is not UTF-8, a name that is there twice in
// any object, nesting deeper than [MaxDepth], anything after the object.
func Members(data []byte) (map[string]json.RawMessage, error) { return MembersOf("body", data) }

// MembersOf reads data as [Members] does. Its errors say "the NAME is not" in the place of "the body is not".
func MembersOf(name string, data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("the %s is not valid UTF-8", name)
	}
	if !json.Valid(data) {
		return nil, fault(name, data)
	}
	w := walker{data}
	if w.next() != '{' {
		return nil, fmt.Errorf("the %s is not a JSON object", name)
	}
	members := make(map[string]json.RawMessage)
	err := w.object(1, func(name string) bool {
		_, twice := members[name]
		return twice
	}, func(name string, value []byte) {
		members[name] = value
	})
	if err != nil {
		return nil, err
	}
	return members, nil
}

// fault says what is wrong with data, which is not valid JSON.
func fault(name string, data []byte) error {
	var first json.RawMessage
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&first)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return fmt.Errorf("the %s is not valid JSON: it ends too early", name)
	case err != nil:
		return fmt.Errorf("the %s is not valid JSON: %w", name, err)
	case first[0] != '{':
		return fmt.Errorf("the %s is not a JSON object", name)
	}
	return fmt.Errorf("the %s goes on after the JSON object", name)
}

// String returns the text of a value that [Members] has returned, if that is a string. No value, of a member that is
// missing, is none.
func String(value json.RawMessage) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return text(value), true
}

// Decode reads data as [Members] does, into the struct that target points to. A member that is
// not, in this very spelling, the JSON name of a field is refused, and so is null, also in a list.
func Decode(data []byte, target any) error {
	members, err := Members(data)
	if err != nil {
		return err
	}
	known := fieldNames(reflect.TypeOf(target).Elem())
	for name, value := range members {
		if !known[name] {
			return fmt.Errorf("unknown field %.64q", name)
		}
		if string(value) == "null" {
			return fmt.Errorf("%q is null: leave it out instead", name)
		}
		if hasNull(value) {
			return fmt.Errorf("%q has a null in it: leave it out instead", name)
		}
	}
	err = json.Unmarshal(data, target)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%q has the wrong type: want %s, not %s", wrongType.Field, typeName(wrongType.Type), wrongType.Value)
	}
	return err
}

// hasNull looks for a null in a value that was read before. To encoding/json it is the zero value of whatever is wanted.
func hasNull(value []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return false // its end
		}
		if token == nil {
			return true
		}
	}
}

func fieldNames(t reflect.Type) map[string]bool {
	names := make(map[string]bool, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a number"
	}
}
