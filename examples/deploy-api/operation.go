package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// This file reads a request in the one way that it can be read, or not at all. A comparison is worth nothing if what was
// compared is not what is used: the last of two members, a member in other capitals, the second of two operations.

// An operation is one mutation of one field with one input.
type operation struct {
	field    string
	input    map[string]string
	selected []string
}

// mutation is the only form of a document that is served:
//
//	mutation Name($input: Type!) { field(input: $input) { names } }
//
// One operation, one field without an alias, its whole input in a variable. GraphQL allows more, and each part of that is
// another place for a Deployment: literals in the document, defaults of variables, fragments, directives.
var mutation = regexp.MustCompile(`^[\s,]*mutation(?:\s+(\w+))?[\s,]*\([\s,]*\$(\w+)[\s,]*:[\s,]*\w+[\s,]*!?[\s,]*\)[\s,]*` +
	`\{[\s,]*(\w+)[\s,]*\([\s,]*input[\s,]*:[\s,]*\$(\w+)[\s,]*\)[\s,]*\{([\w\s,]*)\}[\s,]*\}[\s,]*$`)

// readOperation reads the JSON body of a GraphQL request.
func readOperation(body []byte) (operation, error) {
	parsed, err := readJSON(body)
	if err != nil {
		return operation{}, err
	}
	request, ok := parsed.(map[string]any)
	if !ok {
		return operation{}, errors.New("the body is not one operation in a JSON object")
	}
	for name := range request {
		if name != "query" && name != "variables" && name != "operationName" {
			return operation{}, fmt.Errorf("the request has an unknown member %q", name)
		}
	}
	query, _ := request["query"].(string)
	match := mutation.FindStringSubmatch(query)
	if match == nil {
		return operation{}, errors.New("want one mutation of the form mutation Name($input: Type!) { field(input: $input) { names } }")
	}
	name, variable, field, used, selected := match[1], match[2], match[3], match[4], match[5]
	if asked := request["operationName"]; asked != nil && asked != name {
		return operation{}, errors.New("operationName is not the name of the operation")
	}
	variables, _ := request["variables"].(map[string]any)
	input, ok := variables[variable].(map[string]any)
	if !ok || used != variable || len(variables) != 1 {
		return operation{}, fmt.Errorf("want one variable %s with the input", used)
	}
	op := operation{field: field, input: make(map[string]string), selected: strings.FieldsFunc(selected, isIgnored)}
	for name, value := range input {
		text, ok := value.(string)
		if !ok {
			return operation{}, fmt.Errorf("%q of the input is not a string", name)
		}
		op.input[name] = text
	}
	return op, nil
}

func isIgnored(c rune) bool { return strings.ContainsRune(" \t\r\n\f\v,", c) }

// readJSON is json.Unmarshal for readers that must not be told two things: a member that is there twice is an error, and
// names are what was sent, in any case, and not what they resemble.
func readJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	value, err := readValue(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("the body goes on after the JSON value")
	}
	return value, nil
}

const maxDepth = 8

func readValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	start, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch start {
	case json.Delim('{'):
		object := make(map[string]any)
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name, _ := token.(string) // a decoder in an object has nothing else here
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("%q is there twice", name)
			}
			if object[name], err = readValue(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		var list []any
		for dec.More() {
			value, err := readValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token()
		return list, err
	default:
		return start, nil
	}
}
