package admin

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/deploymentkeys/gateway/keystore"
)

// The document is one of OpenAPI 3.1, and each schema in it is one of JSON Schema 2020-12, which
// reading it finds out.
func TestAPIDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/openapi/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	schema, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", schema); err != nil {
		t.Fatal(err)
	}
	d := readAPIDocument(t)
	if err := compiler.MustCompile("openapi.json").Validate(d.root); err != nil {
		t.Error(err)
	}
	compiler = jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(documentURL, d.root); err != nil {
		t.Fatal(err)
	}
	ids := make(map[any]bool)
	for _, o := range d.operations {
		id := d.node(at("/paths", o.path, strings.ToLower(o.method)))["operationId"]
		if id == nil || ids[id] {
			t.Errorf("the operationId of %s is %v, which is none or that of another", o, id)
		}
		ids[id] = true
	}
	d.walk("", func(pointer string, node jsonObject) {
		reference, ok := node["$ref"].(string)
		if ok && len(d.node(strings.TrimPrefix(reference, "#"))) == 0 {
			t.Errorf("%s: there is no %s", pointer, reference)
		}
		// Examples are such as they should be.
		for _, word := range []string{"examples", "default"} {
			values, ok := node[word].([]any)
			if word == "default" && node[word] != nil && !strings.HasSuffix(pointer, "/variables/host") && !strings.HasSuffix(pointer, "/variables/port") {
				values, ok = []any{node[word]}, true
			}
			if !ok {
				continue
			}
			schema, err := compiler.Compile(documentURL + "#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer))
			if err != nil {
				t.Errorf("%s: %v", pointer, err)
				continue
			}
			for _, value := range values {
				if err := schema.Validate(value); err != nil {
					t.Errorf("the %s of %s: %v", word, pointer, err)
				}
			}
		}
		if value, ok := node["example"]; ok {
			if err := d.answers[at(pointer, "schema")].Validate(value); err != nil {
				t.Errorf("the example of %s: %v", pointer, err)
			}
		}
	})
}

// walk visits all objects of the document.
func (d *apiDocument) walk(pointer string, visit func(pointer string, node jsonObject)) {
	var walk func(pointer string, value any)
	walk = func(pointer string, value any) {
		switch v := value.(type) {
		case jsonObject:
			visit(pointer, v)
			for _, name := range slices.Sorted(maps.Keys(v)) {
				if name != "examples" && name != "example" {
					walk(at(pointer, name), v[name])
				}
			}
		case []any:
			for i, item := range v {
				walk(at(pointer, fmt.Sprint(i)), item)
			}
		}
	}
	walk(pointer, d.node(pointer))
}

// The document has the calls that the handler has, and no other.
func TestAPIDocumentHasEachCall(t *testing.T) {
	t.Parallel()
	d := readAPIDocument(t)
	var documented, there []string
	for _, o := range d.operations {
		documented = append(documented, o.String())
	}
	add := func(path string, methods ...string) {
		for _, method := range methods {
			there = append(there, method+" "+path)
			if method == "GET" {
				there = append(there, "HEAD "+path)
			}
		}
	}
	for _, table := range []map[string]map[string]call{routes, tokenRoutes} {
		for path, calls := range table {
			add(path, slices.Collect(maps.Keys(calls))...)
		}
	}
	add(exportPath, "GET")
	add(readyPath, "GET")
	slices.Sort(there)
	slices.Sort(documented)
	if !slices.Equal(there, documented) {
		t.Errorf("the calls are\n%s\ndocumented are\n%s", strings.Join(there, "\n"), strings.Join(documented, "\n"))
	}
	// Parameters of paths are those of the template.
	for _, o := range d.operations {
		var named []string
		for _, parameter := range o.parameters {
			if parameter.in == "path" {
				named = append(named, "{"+parameter.name+"}")
			}
		}
		for _, segment := range strings.Split(o.path, "/") {
			if strings.HasPrefix(segment, "{") && !slices.Contains(named, segment) {
				t.Errorf("%s: the parameter %s is not documented", o, segment)
			}
		}
		if want := strings.Count(o.path, "{"); len(named) != want {
			t.Errorf("%s: documented are %s", o, named)
		}
	}
}

// Bounds stand in the document as numbers.
func TestAPIDocumentHasTheBounds(t *testing.T) {
	t.Parallel()
	d := readAPIDocument(t)
	for _, test := range []struct {
		schema, word string
		want         int
	}{
		{"/components/schemas/Name", "maxLength", keystore.MaxNameLength},
		{"/components/schemas/Description", "maxLength", keystore.MaxDescriptionLength},
		{"/components/schemas/User", "maxLength", keystore.MaxUserLength},
		{"/components/parameters/Limit/schema", "maximum", keystore.MaxPage},
		{"/components/parameters/Limit/schema", "default", defaultLimit},
		{"/components/schemas/Deployment/properties/key_count", "maximum", keystore.MaxKeys},
		{"/components/schemas/DeploymentList/properties/deployments", "maxItems", keystore.MaxPage},
		{"/components/schemas/KeyList/properties/keys", "maxItems", keystore.MaxPage},
		{"/components/schemas/AuditList/properties/events", "maxItems", keystore.MaxPage},
		{"/components/schemas/MemberList/properties/members", "maxItems", keystore.MaxMembers},
		{"/components/schemas/Key/properties/allowed_ips", "maxItems", keystore.MaxAllowedIPs},
	} {
		if got := fmt.Sprint(d.node(test.schema)[test.word]); got != fmt.Sprint(test.want) {
			t.Errorf("%s of %s is %s, want %d", test.word, test.schema, got, test.want)
		}
	}
	text, err := os.ReadFile("../docs/admin-api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"65,536 bytes", "nested at most\n    16 deep", "at most 32 different", "from `0s` to `168h`", "signs 70 minutes later", "409 when 5,000 single tokens",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the document does not say %q", part)
		}
	}
	if maxBody != 65_536 || keystore.MaxAllowedIPs != 32 || keystore.MaxOverlap.Hours() != 168 ||
		keystore.SigningKeyNotice.Minutes() != 70 || keystore.MaxRevokedTokens != 5_000 {
		t.Error("a bound is another one: change what the document says of it, and this test")
	}
}
