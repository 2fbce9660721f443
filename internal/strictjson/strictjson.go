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
func Members(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if start, err := dec.Token(); err != nil {
		return nil, syntax(err)
	} else if start != json.Delim('{') {
		return nil, errors.New("the body is not a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		name, err := memberName(dec)
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("%.64q is there more than once", name)
		}
		begin := dec.InputOffset()
		if err := walk(dec, 2); err != nil {
			return nil, err
		}
		// What stands between the name and the value is a colon and white space.
		members[name] = json.RawMessage(bytes.TrimLeft(data[begin:dec.InputOffset()], ": \t\r\n"))
	}
	if _, err := dec.Token(); err != nil {
		return nil, syntax(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("the body goes on after the JSON object")
	}
	return members, nil
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

// walk reads one value and checks what is in it. An object or a list would be of that depth.
func walk(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth > MaxDepth {
		return fmt.Errorf("the JSON is nested deeper than %d", MaxDepth)
	}
	var seen map[string]bool
	if delim == '{' {
		seen = make(map[string]bool)
	}
	for dec.More() {
		if seen != nil {
			name, err := memberName(dec)
			if err != nil {
				return err
			}
			if seen[name] {
				return fmt.Errorf("%.64q is there more than once", name)
			}
			seen[name] = true
		}
		if err := walk(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	return nil
}

func memberName(dec *json.Decoder) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", syntax(err)
	}
	name, ok := token.(string)
	if !ok {
		return "", errors.New("the body is not valid JSON: the name of a member must be a string")
	}
	return name, nil
}

func syntax(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the body is not valid JSON: it ends too early")
	}
	return fmt.Errorf("the body is not valid JSON: %w", err)
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
