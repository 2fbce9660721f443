package token

import (
	"encoding/json"
	"slices"
	"testing"
)

func collect(data string) ([]string, error) {
	var got []string
	err := members([]byte(data), func(name, value []byte) error {
		got = append(got, string(name), string(value))
		return nil
	})
	return got, err
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		data string
		want []string
	}{
		{`{}`, nil},
		{" \t\r\n{ \n} ", nil},
		{`{"a":1}`, []string{"a", "1"}},
		{` { "a" : "x" , "b" : [ 1 , {"a":"]}"} ] , "" : null } `, []string{"a", `"x"`, "b", `[ 1 , {"a":"]}"} ]`, "", "null"}},
		{`{"a":"\"}","b":-1.5e3,"c":true,"d":{"e":{}}}`, []string{"a", `"\"}"`, "b", "-1.5e3", "c", "true", "d", `{"e":{}}`}},
		{`{"\u0069ss":"\\"}`, []string{"iss", `"\\"`}},
		{`{"a":{"x":1,"x":2},"x":3}`, []string{"a", `{"x":1,"x":2}`, "x", "3"}},
	} {
		if got, err := collect(tc.data); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, %v, want %q", tc.data, got, err, tc.want)
		}
	}
	for _, data := range []string{
		``, ` `, `1`, `"a"`, `null`, `[]`, `{`, `{"a"}`, `{"a":1,}`, `{"a":1}{}`, `{a:1}`, `{"a":01}`,
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, "{\"a\":\"\xff\"}", "{\"\xc0\xaf\":1}", "\xef\xbb\xbf{}",
	} {
		if got, err := collect(data); err == nil {
			t.Errorf("%q: got %q, no error", data, got)
		}
	}
}

// FuzzMembers holds the scanner against encoding/json: what it accepts is what encoding/json reads,
// and it refuses nothing but what is no object, or has a name twice.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{"a":"\"}","b":[{},{"c":"]"}],"":-1e5 }`, `{"a":1,"a":2}`, `[{"a":1}]`, "{\"\\ud800\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := make(map[string]json.RawMessage)
		err := members(data, func(name, value []byte) error {
			if _, twice := got[string(name)]; twice {
				t.Fatalf("%q visited twice", name)
			}
			got[string(name)] = value
			return nil
		})
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil || want == nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d members, encoding/json has %d", len(got), len(want))
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Fatalf("%q is %q, in encoding/json %q", name, got[name], value)
			}
		}
	})
}
