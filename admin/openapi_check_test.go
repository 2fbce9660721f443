package admin

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// generalHeaders are of all answers with a body, and described once for all of them.
var generalHeaders = map[string]string{
	"Cache-Control":          "no-store",
	"X-Content-Type-Options": "nosniff",
}

// check holds an answer against the document, and notes what it has shown.
func (d *apiDocument) check(method, escapedPath string, w *httptest.ResponseRecorder) error {
	o, documented := d.find(method, escapedPath)
	status := map[*documentedAnswer]int{d.otherMethod: http.StatusMethodNotAllowed, d.otherPath: http.StatusNotFound}[documented]
	if o != nil {
		status, documented = w.Code, o.answers[w.Code]
		if documented == nil {
			return fmt.Errorf("the status %d of %s is not documented; the answer is %s", w.Code, o, w.Body)
		}
		d.seen[fmt.Sprint(o, " ", w.Code)] = true
	}
	if w.Code != status {
		return fmt.Errorf("the status is %d, documented is %d; the answer is %s", w.Code, status, w.Body)
	}
	d.seen[documented.name] = true
	if err := d.checkHeader(documented, w.Result().Header); err != nil {
		return err
	}
	if allow := w.Header().Get("Allow"); documented == d.otherMethod && allow != d.methods(escapedPath) {
		return fmt.Errorf("Allow is %q, documented are %q", allow, d.methods(escapedPath))
	}
	if method == http.MethodHead {
		return nil // net/http leaves the body out
	}
	return d.checkBody(documented, w.Header().Get("Content-Type"), w.Body.String())
}

// methods are those of a path, as Allow has them.
func (d *apiDocument) methods(escapedPath string) string {
	for _, path := range d.paths {
		if matches(path, escapedPath) {
			var methods []string
			for _, o := range d.operations {
				if o.path == path {
					methods = append(methods, o.method)
				}
			}
			slices.Sort(methods)
			return strings.Join(methods, ", ")
		}
	}
	return ""
}

func (d *apiDocument) checkHeader(documented *documentedAnswer, header http.Header) error {
	for name, schema := range documented.headers {
		if len(header.Values(name)) != 1 {
			return fmt.Errorf("the header %s is documented, and there is %q", name, header.Values(name))
		}
		if err := d.answers[schema].Validate(header.Get(name)); err != nil {
			return fmt.Errorf("the header %s is %q: %w", name, header.Get(name), err)
		}
	}
	for name := range header {
		_, ok := documented.headers[name]
		if _, general := generalHeaders[name]; !ok && !general && name != "Content-Type" {
			return fmt.Errorf("the header %s is not documented", name)
		}
	}
	for name, want := range generalHeaders {
		if got := header.Get(name); len(documented.content) > 0 && got != want {
			return fmt.Errorf("the header %s is %q, want %q", name, got, want)
		}
	}
	return nil
}

func (d *apiDocument) checkBody(documented *documentedAnswer, contentType, body string) error {
	if len(documented.content) == 0 {
		if body != "" || contentType != "" {
			return fmt.Errorf("no body is documented, and there is one of %q: %s", contentType, body)
		}
		return nil
	}
	mediaType, _, _ := mime.ParseMediaType(contentType)
	schema, ok := documented.content[mediaType]
	if !ok {
		return fmt.Errorf("the content type %q is not documented", contentType)
	}
	if mediaType != ndjson {
		return d.checkJSON(schema, body)
	}
	for line := range strings.Lines(body) {
		if !strings.HasSuffix(line, "\n") {
			return fmt.Errorf("the last line has no end: %s", line)
		}
		if err := d.checkJSON(schema, line); err != nil {
			return err
		}
	}
	return nil
}

func (d *apiDocument) checkJSON(schema, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = d.answers[schema].Validate(value)
	}
	if err != nil {
		return fmt.Errorf("the answer %s: %w", text, err)
	}
	d.note(schema, value)
	return nil
}

// note notes which fields an answer has.
func (d *apiDocument) note(schema string, value any) {
	node := d.node(schema)
	if reference, ok := node["$ref"].(string); ok {
		d.note(strings.TrimPrefix(reference, "#"), value)
	}
	branches, _ := node["oneOf"].([]any)
	for i := range branches {
		branch := d.resolve(at(schema, "oneOf", strconv.Itoa(i)))
		if has(value, d.node(branch)["required"]) {
			d.note(branch, value)
		}
	}
	switch v := value.(type) {
	case jsonObject:
		for name := range d.node(at(schema, "properties")) {
			if member, ok := v[name]; ok {
				d.seen[at(schema, "properties", name)] = true
				d.note(at(schema, "properties", name), member)
			}
		}
	case []any:
		for _, item := range v {
			d.note(at(schema, "items"), item)
		}
	}
}

// has says whether an object has all members of a list of names.
func has(value, names any) bool {
	o, ok := value.(jsonObject)
	required, _ := names.([]any)
	return ok && !slices.ContainsFunc(required, func(name any) bool {
		_, there := o[name.(string)]
		return !there
	})
}

// wanted is all that check can note: each status of each operation, the answers to other methods and
// paths, and each field.
func (d *apiDocument) wanted() []string {
	wanted := map[string]bool{d.otherMethod.name: true, d.otherPath.name: true}
	var fields func(schema string)
	fields = func(schema string) {
		node := d.node(schema)
		if reference, ok := node["$ref"].(string); ok {
			fields(strings.TrimPrefix(reference, "#"))
		}
		branches, _ := node["oneOf"].([]any)
		for i := range branches {
			fields(at(schema, "oneOf", strconv.Itoa(i)))
		}
		for name := range d.node(at(schema, "properties")) {
			field := at(schema, "properties", name)
			if !wanted[field] {
				wanted[field] = true
				fields(field)
			}
		}
		if len(d.node(at(schema, "items"))) > 0 {
			fields(at(schema, "items"))
		}
	}
	for _, o := range d.operations {
		for status, answer := range o.answers {
			wanted[fmt.Sprint(o, " ", status)] = true
			wanted[answer.name] = true
			for _, schema := range answer.content {
				fields(schema)
			}
		}
	}
	return slices.Sorted(maps.Keys(wanted))
}

// accepts says whether the body of a request is as documented.
func (d *apiDocument) accepts(body *documentedBody, text string) bool {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	return err == nil && d.requests[body.schema].Validate(value) == nil
}
