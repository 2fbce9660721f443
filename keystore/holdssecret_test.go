package keystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Somebody pastes a secret or a token where a name belongs: it would be in lists, in the audit log and in the store.
func TestTextWithASecretIsNotStored(t *testing.T) {
	t.Parallel()
	secret := NewSecret().Reveal()
	for _, text := range []string{secret, "my " + secret + "!", secret[:len(secret)-3], "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0x.c2lnbmF0dXJl"} {
		for field, err := range map[string]error{"name": validateName(text), "description": validateDescription(text), "user": ValidateUser(text)} {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), field+" has the secret") || strings.Contains(err.Error(), text) {
				t.Errorf("%s %q: %v", field, text, err)
			}
		}
	}
	for _, text := range []string{"dks_ is the prefix", "CI", "eyJ"} {
		if err := errors.Join(validateName(text), validateDescription(text), ValidateUser(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPrivateKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	private := PrivateKey("the private part of a key")
	encoded, err := json.Marshal(SigningKey{Private: private})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", private, private, private, private, private), fmt.Sprintf("%x %d %X", private, private, private),
		fmt.Sprintf("%v %+v %#v", SigningKey{Private: private}, SigningKey{Private: private}, &SigningKey{Private: private}), string(encoded),
	} {
		for _, part := range []string{"private part", fmt.Sprintf("%x", []byte(private)), fmt.Sprintf("%X", []byte(private)), strings.Trim(fmt.Sprint([]byte(private)), "[]")} {
			if strings.Contains(shown, part) {
				t.Errorf("%q shows the key", shown)
			}
		}
	}
}
