package strictjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/internal/strictjson/strictjsontest"
)

var fuzzSeeds = []string{
	`{}`, `{"a":1}`, `{"a":{"b":[null,"\ud800"]}}`, `{"a":"\u0000"}`, `[`, `{"a":1}{}`,
	`{"name":"a","n\u0061me":"b"}`, `{"NAME":"a"}`, `{"name":null}`, `{"list":["a",null]}`, `{"yes":true,"name":"\ud83d\ude00\/"}`,
	" \t{\"a\" : [ -0.5e+3 , {\"x\":1,\"x\":2} ] } ", "{\"name\":\"\xff\"}", `{"list":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}`, "\xef\xbb\xbf{}",
}

// FuzzMembers holds Members against two readers. What is accepted is what encoding/json reads too, member by member;
// and it is accepted if, and only if, a reader that shares no code says that it is one object, without a name that is
// there twice, and not too deep.
func FuzzMembers(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := Members(data)
		second, ok := strictjsontest.Read(string(data))
		want := ok && second.Kind == strictjsontest.Object && !second.Repeats() && second.Depth() <= MaxDepth
		if want != (err == nil) {
			t.Fatalf("%q: error %v; the second reader accepts it: %t", data, err, want)
		}
		if err != nil {
			return
		}
		var other map[string]json.RawMessage
		if err := json.Unmarshal(data, &other); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", data, err)
		}
		if len(other) != len(members) || len(second.Members) != len(members) {
			t.Fatalf("%q: %d members, encoding/json has %d, the second reader %d", data, len(members), len(other), len(second.Members))
		}
		for name, value := range members {
			said, _ := second.Get(name)
			if string(other[name]) != string(value) || said.Raw != string(value) {
				t.Fatalf("%q: %q is %q, in encoding/json %q, in the second reader %q", data, name, value, other[name], said.Raw)
			}
		}
	})
}

// FuzzDecode holds that what is decoded is what stands there: each member is a field in its very spelling, of the kind
// that the field is, and the field has its value; what is not there stays as it was.
func FuzzDecode(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	type fields struct {
		Name string   `json:"name"`
		Yes  *bool    `json:"yes"`
		List []string `json:"list"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want fields
		if err := Decode(data, &got); err != nil {
			if len(err.Error()) > 1_000 {
				t.Fatalf("%q: an error of %d bytes", data, len(err.Error()))
			}
			return
		}
		second, ok := strictjsontest.Read(string(data))
		if !ok || second.Kind != strictjsontest.Object || second.Repeats() {
			t.Fatalf("accepted %q", data)
		}
		for _, member := range second.Members {
			switch {
			case member.Name == "name" && member.Value.Kind == strictjsontest.String:
				want.Name = member.Value.Text
			case member.Name == "yes" && member.Value.Kind == strictjsontest.Bool:
				yes := member.Value.Raw == "true"
				want.Yes = &yes
			case member.Name == "list" && member.Value.Kind == strictjsontest.List:
				want.List = []string{}
				for _, element := range member.Value.Elements {
					if element.Kind != strictjsontest.String {
						t.Fatalf("%q: the list has %s, which is no text, and was accepted", data, element.Raw)
					}
					want.List = append(want.List, element.Text)
				}
			default:
				t.Fatalf("%q: accepted with %q, which is %s", data, member.Name, member.Value.Raw)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, the second reader has %+v", data, got, want)
		}
	})
}

// The second reader is right where it is known what right is.
func TestSecondReader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{}`: true, ` [ ] `: true, `""`: true, `0`: true, `-0.0e-0`: true, `10`: true, `null`: true, `"\u00e9\ud83d\ude00"`: true,
		``: false, ` `: false, `01`: false, `1.`: false, `.5`: false, `+1`: false, `-`: false, `1e`: false, `nul`: false, `{"a"}`: false, `{"a":1,}`: false,
		`[1,]`: false, `[1 2]`: false, `"`: false, "\"\n\"": false, `"\x"`: false, `"\u12g4"`: false, `"\u12"`: false, `{} {}`: false, "{\x00}": false, "\"\xff\"": false,
		`{a:1}`: false, `[`: false, `{"a":`: false, `"\u` + "\x10" + `000"`: false,
	} {
		if _, ok := strictjsontest.Read(text); ok != want || json.Valid([]byte(text)) != want && !strings.Contains(text, "\xff") {
			t.Errorf("%q: accepted %t, want %t", text, ok, want)
		}
	}
}
