package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/deploymentkeys/gateway/internal/strictjson"
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
	request, err := strictjson.Members(body)
	if err != nil {
		return operation{}, err
	}
	for name := range request {
		if name != "query" && name != "variables" && name != "operationName" {
			return operation{}, fmt.Errorf("the request has an unknown member %q", name)
		}
	}
	query, _ := strictjson.String(request["query"])
	match := mutation.FindStringSubmatch(query)
	if match == nil {
		return operation{}, errors.New("want one mutation of the form mutation Name($input: Type!) { field(input: $input) { names } }")
	}
	name, variable, field, used, selected := match[1], match[2], match[3], match[4], match[5]
	asked, isString := strictjson.String(request["operationName"])
	if given := len(request["operationName"]) > 0 && string(request["operationName"]) != "null"; given && (!isString || asked != name) {
		return operation{}, errors.New("operationName is not the name of the operation")
	}
	variables, _ := strictjson.Members(request["variables"])
	input, err := strictjson.Members(variables[variable])
	if err != nil || used != variable || len(variables) != 1 {
		return operation{}, fmt.Errorf("want one variable %s with the input", used)
	}
	op := operation{field: field, input: make(map[string]string), selected: strings.FieldsFunc(selected, isIgnored)}
	for name, value := range input {
		text, ok := strictjson.String(value)
		if !ok {
			return operation{}, fmt.Errorf("%q of the input is not a string", name)
		}
		op.input[name] = text
	}
	return op, nil
}

func isIgnored(c rune) bool { return strings.ContainsRune(" \t\r\n\f\v,", c) }
