package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// This file reads docs/admin-api.yaml; openapi_check_test.go holds answers against it.

// An apiDocument is docs/admin-api.yaml. Its schemas are called by their JSON pointers.
type apiDocument struct {
	root       jsonObject
	operations []*operation
	paths      []string // templates, those without parameters first

	otherMethod, otherPath *documentedAnswer

	// Compiled schemas by pointer: of requests as they are, and of answers without fields that are
	// not documented, and with formats.
	requests, answers map[string]*jsonschema.Schema

	seen map[string]bool // answers and fields of them, as check has found them
}

// An operation is one method of one path.
type operation struct {
	method, path string
	parameters   []documentedParameter
	body         *documentedBody // nil: none
	answers      map[int]*documentedAnswer
}

func (o *operation) String() string { return o.method + " " + o.path }

type documentedParameter struct {
	name, in string
	schema   string
}

type documentedBody struct {
	required bool
	schema   string
}

type documentedAnswer struct {
	name    string
	headers map[string]string // schemas by name
	content map[string]string // schemas by media type; of NDJSON that of a line
}

// readAPIDocument reads and compiles it all.
func readAPIDocument(t testing.TB) *apiDocument {
	t.Helper()
	text, err := os.ReadFile("../docs/admin-api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := yaml.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	d := &apiDocument{
		root:     jsonOf(t, content).(jsonObject),
		requests: make(map[string]*jsonschema.Schema), answers: make(map[string]*jsonschema.Schema),
		seen: make(map[string]bool),
	}
	asked, answered := jsonschema.NewCompiler(), jsonschema.NewCompiler()
	answered.AssertFormat()
	closed := jsonOf(t, d.root).(jsonObject)
	d.closeAnswers(closed)
	for compiler, root := range map[*jsonschema.Compiler]any{asked: d.root, answered: closed} {
		compiler.DefaultDraft(jsonschema.Draft2020)
		if err := compiler.AddResource(documentURL, root); err != nil {
			t.Fatal(err)
		}
	}
	compile := func(compiler *jsonschema.Compiler, into map[string]*jsonschema.Schema, pointer string) {
		schema, err := compiler.Compile(documentURL + (&url.URL{Fragment: pointer}).String())
		if err != nil {
			t.Fatalf("schema %s: %v", pointer, err)
		}
		into[pointer] = schema
	}
	d.paths = slices.SortedFunc(maps.Keys(d.node("/paths")), func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "{", "~"), strings.ReplaceAll(b, "{", "~"))
	})
	for _, path := range d.paths {
		for _, method := range slices.Sorted(maps.Keys(d.node(at("/paths", path)))) {
			if method != "parameters" {
				d.operations = append(d.operations, d.operation(method, path))
			}
		}
	}
	d.otherMethod, d.otherPath = d.answer("/x-other-method"), d.answer("/x-other-path")
	answers := []*documentedAnswer{d.otherMethod, d.otherPath}
	for _, o := range d.operations {
		for _, parameter := range o.parameters {
			compile(asked, d.requests, parameter.schema)
		}
		if o.body != nil {
			compile(asked, d.requests, o.body.schema)
		}
		answers = slices.AppendSeq(answers, maps.Values(o.answers))
	}
	for _, answer := range answers {
		for _, schemas := range []map[string]string{answer.headers, answer.content} {
			for _, pointer := range schemas {
				compile(answered, d.answers, pointer)
			}
		}
	}
	return d
}

const documentURL = "https://example.com/admin-api.json"

// jsonOf is a value as JSON has it.
func jsonOf(t testing.TB, value any) any {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// A name in a pointer (RFC 6901 section 3).
var (
	toPointer   = strings.NewReplacer("~", "~0", "/", "~1")
	fromPointer = strings.NewReplacer("~1", "/", "~0", "~")
)

// at is the pointer to a member of what a pointer is of.
func at(pointer string, names ...string) string {
	for _, name := range names {
		pointer += "/" + toPointer.Replace(name)
	}
	return pointer
}

// node is the object at a pointer; an empty one where there is none.
func (d *apiDocument) node(pointer string) jsonObject {
	var value any = d.root
	for _, name := range strings.Split(pointer, "/")[1:] {
		name = fromPointer.Replace(name)
		switch within := value.(type) {
		case jsonObject:
			value = within[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(within) {
				return jsonObject{}
			}
			value = within[i]
		}
	}
	found, _ := value.(jsonObject)
	if found == nil {
		return jsonObject{}
	}
	return found
}

// resolve follows a reference to what is not a schema.
func (d *apiDocument) resolve(pointer string) string {
	for {
		reference, ok := d.node(pointer)["$ref"].(string)
		if !ok {
			return pointer
		}
		pointer = strings.TrimPrefix(reference, "#")
	}
}

func (d *apiDocument) operation(method, path string) *operation {
	o := &operation{method: strings.ToUpper(method), path: path, answers: make(map[int]*documentedAnswer)}
	own := at("/paths", path, method)
	for _, list := range []string{at("/paths", path, "parameters"), at(own, "parameters")} {
		for i := 0; len(d.node(at(list, strconv.Itoa(i)))) > 0; i++ {
			pointer := d.resolve(at(list, strconv.Itoa(i)))
			parameter := d.node(pointer)
			o.parameters = append(o.parameters, documentedParameter{parameter["name"].(string), parameter["in"].(string), at(pointer, "schema")})
		}
	}
	if _, ok := d.node(own)["requestBody"]; ok {
		pointer := d.resolve(at(own, "requestBody"))
		o.body = &documentedBody{d.node(pointer)["required"] == true, at(pointer, "content", "application/json", "schema")}
	}
	for status := range d.node(at(own, "responses")) {
		code, _ := strconv.Atoi(status)
		o.answers[code] = d.answer(at(own, "responses", status))
	}
	return o
}

func (d *apiDocument) answer(pointer string) *documentedAnswer {
	pointer = d.resolve(pointer)
	a := &documentedAnswer{name: pointer, headers: make(map[string]string), content: make(map[string]string)}
	for name := range d.node(at(pointer, "headers")) {
		a.headers[name] = at(d.resolve(at(pointer, "headers", name)), "schema")
	}
	for mediaType := range d.node(at(pointer, "content")) {
		schema := "schema"
		if mediaType == ndjson {
			schema = "x-line"
		}
		a.content[mediaType] = at(pointer, "content", mediaType, schema)
	}
	return a
}

const ndjson = "application/x-ndjson"

// closeAnswers has schemas refuse fields that are not documented, wherever an object is part of an
// answer. In the document they do not: clients should not mind new fields.
func (d *apiDocument) closeAnswers(root jsonObject) {
	var shut, within func(schema any)
	shut = func(schema any) {
		if s, ok := schema.(jsonObject); ok {
			s["unevaluatedProperties"] = false
			within(s)
		}
	}
	within = func(schema any) {
		s, _ := schema.(jsonObject)
		properties, _ := s["properties"].(jsonObject)
		for _, property := range properties {
			shut(property)
		}
		shut(s["items"])
	}
	components := root["components"].(jsonObject)
	for _, schema := range components["schemas"].(jsonObject) {
		within(schema)
	}
	var contents func(value any)
	contents = func(value any) {
		switch v := value.(type) {
		case jsonObject:
			if content, ok := v["content"].(jsonObject); ok {
				for _, media := range content {
					shut(media.(jsonObject)["schema"])
					shut(media.(jsonObject)["x-line"])
				}
			}
			for _, member := range v {
				contents(member)
			}
		case []any:
			for _, member := range v {
				contents(member)
			}
		}
	}
	contents(root["paths"])
	contents(components["responses"])
}

// find is the operation of a request, or what another method or another path is answered.
func (d *apiDocument) find(method, escapedPath string) (*operation, *documentedAnswer) {
	for _, path := range d.paths {
		if !matches(path, escapedPath) {
			continue
		}
		for _, o := range d.operations {
			if o.path == path && o.method == method {
				return o, nil
			}
		}
		return nil, d.otherMethod
	}
	return nil, d.otherPath
}

// matches holds a path against a template, segment by segment.
func matches(template, escapedPath string) bool {
	want, got := strings.Split(template, "/"), strings.Split(escapedPath, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		segment, err := url.PathUnescape(got[i])
		switch {
		case err != nil:
			return false
		case strings.HasPrefix(want[i], "{"):
			if got[i] == "" || got[i] == "." || got[i] == ".." || segment == "/" { // ServeMux takes %2F for no segment
				return false
			}
		case segment != want[i]:
			return false
		}
	}
	return true
}

// fill is a path of a template.
func fill(template string, values map[string]string) string {
	for name, value := range values {
		template = strings.ReplaceAll(template, "{"+name+"}", strings.ReplaceAll(url.PathEscape(value), ".", "%2E"))
	}
	if strings.Contains(template, "{") {
		panic(fmt.Sprint("no value for a parameter of ", template))
	}
	return template
}
