package strictjson

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	type body struct {
		Name   *string  `json:"name"`
		Scopes []string `json:"scopes,omitempty"`
	}
	tests := map[string]struct {
		in, err string
	}{
		"plain":                       {`{"name":"a","scopes":["x"]}`, ""},
		"white space around":          {" \r\n\t{ \"name\" : \"a\" }\n ", ""},
		"empty object":                {`{}`, ""},
		"empty":                       {``, "ends too early"},
		"cut":                         {`{"name":"a"`, "ends too early"},
		"list":                        {`["name"]`, "not a JSON object"},
		"null":                        {`null`, "not a JSON object"},
		"duplicate":                   {`{"name":"a","name":"b"}`, `"name" is there more than once`},
		"duplicate, one escaped":      {`{"name":"a","n\u0061me":"b"}`, `"name" is there more than once`},
		"nested duplicate":            {`{"scopes":[{"a":1,"a":2}]}`, `"a" is there more than once`},
		"null member":                 {`{"name":null}`, `"name" is null`},
		"null in a list":              {`{"scopes":["a",null]}`, `"scopes" has a null in it`},
		"deepest list":                {`{"scopes":` + strings.Repeat("[", 15) + `1` + strings.Repeat("]", 15) + `}`, "wrong type"},
		"empty list too deep":         {`{"scopes":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, "nested deeper than 16"},
		"other case":                  {`{"Name":"a"}`, `unknown field "Name"`},
		"unknown":                     {`{"nmae":"a"}`, `unknown field "nmae"`},
		"trailing value":              {`{"name":"a"}{}`, "goes on after"},
		"trailing letter":             {`{"name":"a"}x`, "goes on after"},
		"wrong type":                  {`{"name":1}`, `"name" has the wrong type: want a string, not number`},
		"wrong type of list":          {`{"scopes":"x"}`, `"scopes" has the wrong type: want a list, not string`},
		"not UTF-8":                   {"{\"name\":\"\xff\"}", "not valid UTF-8"},
		"depth":                       {`{"scopes":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "nested deeper than 16"},
		"not a name":                  {`{1:2}`, "not valid JSON"},
		"comma at the end":            {`{"name":"a",}`, "not valid JSON"},
		"a thing that is not a value": {`{"name":NaN}`, "not valid JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b body
			err := Decode([]byte(test.in), &b)
			if test.err == "" {
				if err != nil {
					t.Errorf("%s: %v, want no error", test.in, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%.80s: error %v, want one with %q", test.in, err, test.err)
			}
		})
	}
}

func TestMembersKeepsTheBytesOfEachValue(t *testing.T) {
	t.Parallel()
	members, err := Members([]byte(`{"a": "x", "b" :{"c":[1, 2]} ,"d":null}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": `"x"`, "b": `{"c":[1, 2]}`, "d": "null"} {
		if got := string(members[name]); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	if len(members) != 3 {
		t.Errorf("%d members, want 3", len(members))
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`""`: "", `"a"`: "a", `"a\n\u0041\"\\"`: "a\nA\"\\", `"\ud83d\ude00"`: "😀", `"é"`: "é",
	} {
		if got, ok := String([]byte(value)); !ok || got != want {
			t.Errorf("%s is %q, %t, want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "1", "null", "true", "[]", `{"a":"b"}`} {
		if got, ok := String([]byte(value)); ok {
			t.Errorf("%s is a string, %q", value, got)
		}
	}
}
