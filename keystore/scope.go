package keystore

import (
	"encoding/json"
	"strings"
)

// Scopes is a set of the scopes that exist. Its text form is that of RFC 6749 section 3.3, names
// separated by single spaces, always in the same order; its JSON form is a list of names.
type Scopes uint8

// The scopes. A key has all of them unless it was created with fewer.
const (
	ScopeDeploy       Scopes = 1 << iota // deploy code and images
	ScopeAirflowRead                     // read through the Airflow REST API
	ScopeAirflowWrite                    // change through the Airflow REST API

	AllScopes = ScopeDeploy | ScopeAirflowRead | ScopeAirflowWrite
)

// scopeNames is in bit order.
var scopeNames = [...]string{"deploy", "airflow:read", "airflow:write"}

// scopeTexts holds the text of every set, so that the hot path makes no strings.
var scopeTexts = func() (texts [AllScopes + 1]string) {
	for set := range texts {
		texts[set] = strings.Join(Scopes(set).Names(), " ")
	}
	return texts
}()

// longestRepeated is how long a wrong name may be to stand in the error: a longer one may be a
// secret or a token in the wrong place.
const longestRepeated = 32

// ParseScope reads one name. The error wraps [ErrInvalid] and lists the names there are.
func ParseScope(name string) (Scopes, error) {
	for i, known := range scopeNames {
		if name == known {
			return 1 << i, nil
		}
	}
	known := strings.Join(scopeNames[:], ", ")
	if len(name) > longestRepeated {
		return 0, invalid("unknown scope: the scopes are %s", known)
	}
	return 0, invalid("unknown scope %q: the scopes are %s", name, known)
}

// ParseScopes reads a list of names; a name may be there more than once.
func ParseScopes(names []string) (Scopes, error) {
	var set Scopes
	for _, name := range names {
		one, err := ParseScope(name)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

// ParseScopeText reads the text form of RFC 6749 section 3.3: names separated by single spaces.
// A name may be there more than once; "" is no scope. The error wraps [ErrInvalid].
func ParseScopeText(text string) (Scopes, error) {
	for set, known := range scopeTexts { // what this package wrote, without allocation
		if text == known {
			return Scopes(set), nil
		}
	}
	return ParseScopes(strings.Split(text, " "))
}

// Has reports whether s has all of the scopes in other.
func (s Scopes) Has(other Scopes) bool { return s&other == other }

// Names lists the scopes.
func (s Scopes) Names() []string {
	names := make([]string, 0, len(scopeNames))
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the scope parameter and claim of OAuth: "deploy airflow:read airflow:write".
func (s Scopes) String() string { return scopeTexts[s&AllScopes] }

// MarshalJSON writes the list of names.
func (s Scopes) MarshalJSON() ([]byte, error) { return json.Marshal(s.Names()) }

// UnmarshalJSON reads a list of names and refuses unknown ones with an error that wraps
// [ErrInvalid].
func (s *Scopes) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return invalid("scopes: want a list of scope names")
	}
	set, err := ParseScopes(names)
	if err != nil {
		return err
	}
	*s = set
	return nil
}
