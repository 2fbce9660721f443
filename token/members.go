package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// members calls visit for each member of the JSON object in data, in order, with its name and its
// value as it stands there. It returns an error, possibly after some visits, if data is not valid
// UTF-8, is not exactly one JSON object, or has a name twice; and the first error of visit.
//
// encoding/json would not do: it takes the last of two members of one name and finds "ISS" for iss,
// so that two readers of one token could see two issuers (RFC 7519 section 4, RFC 8725 section 2.4).
func members(data []byte, visit func(name, value []byte) error) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	// Once this holds, the rest only needs to find where things end.
	if !json.Valid(data) {
		return errors.New("not JSON")
	}
	rest := skipSpace(data)
	if rest[0] != '{' {
		return errors.New("not a JSON object")
	}
	seen := make([][]byte, 0, 16)
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		end := valueEnd(rest)
		name, err := unescape(rest[:end])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(seen, func(other []byte) bool { return bytes.Equal(other, name) }) {
			return fmt.Errorf("%.64q is there twice", name)
		}
		seen = append(seen, name)

		rest = skipSpace(rest[end:])
		rest = skipSpace(rest[1:]) // the colon
		end = valueEnd(rest)
		if err := visit(name, rest[:end]); err != nil {
			return err
		}
		rest = skipSpace(rest[end:])
		if rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
	return nil
}

func skipSpace(data []byte) []byte {
	for i, c := range data {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return data[i:]
		}
	}
	return nil
}

// valueEnd returns the length of the JSON value that data, which is valid, begins with.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += strictjson.StringEnd(data[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			return i + strictjson.ScalarEnd(data[i:])
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(data)
}

// unescape returns the text of a JSON string, in most cases as a part of it.
func unescape(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// stringValue returns the text of a JSON string. Unlike in encoding/json, null is not one.
func stringValue(value []byte) (string, error) {
	if value[0] != '"' {
		return "", errors.New("not a string")
	}
	text, err := unescape(value)
	return string(text), err
}

// elements calls visit for each element of the JSON array in value, in order, as it stands there. It
// returns an error if value is not an array, and the first error of visit.
func elements(value []byte, visit func(element []byte) error) error {
	if value[0] != '[' {
		return errors.New("not an array")
	}
	for rest := skipSpace(value[1:]); rest[0] != ']'; {
		end := valueEnd(rest)
		if err := visit(rest[:end]); err != nil {
			return err
		}
		rest = skipSpace(rest[end:])
		if rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
	return nil
}

// stringsValue returns the texts of a JSON array of strings, none of which may be empty.
func stringsValue(value []byte) ([]string, error) {
	var texts []string
	err := elements(value, func(element []byte) error {
		text, err := stringValue(element)
		if err != nil {
			return err
		}
		if text == "" {
			return errors.New("an empty string in the array")
		}
		texts = append(texts, text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return texts, nil
}

// secondsValue returns a NumericDate (RFC 7519 section 2). The RFC allows fractions and, with them,
// exponents; no token of this issuer has them, and to read them needs rounding, on which two
// readers may differ by a second. So only whole seconds after 1970 and up to the year 9999 pass.
func secondsValue(value []byte) (int64, error) {
	seconds, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, errors.New("not whole seconds")
	}
	if seconds <= 0 || seconds > maxNumericDate {
		return 0, errors.New("out of range")
	}
	return seconds, nil
}
