package admin

import (
	"errors"
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

func showSigningKey(k keystore.SigningKey) SigningKey {
	shown := SigningKey{
		KeyID: k.ID, Algorithm: k.Algorithm, State: k.State(), CreatedAt: k.CreatedAt,
		SignsFrom: k.SignsFrom, RetiredAt: k.RetiredAt, RemovedFrom: k.RemovedFrom(),
	}
	if shown.State == keystore.SigningKeyAnnounced {
		shown.SignsFrom = k.EarliestSigning()
	}
	return shown
}

// listSigningKeys is GET /signing_keys: {"keys":[...]}, oldest first. They are few, so there are no
// pages.
func listSigningKeys(c *callContext) (int, any, error) {
	keys, err := c.keys.SigningKeys(c.r.Context())
	if err != nil {
		return 0, nil, signingKeyError(err)
	}
	body := SigningKeyList{[]SigningKey{}}
	for _, key := range keys {
		body.Keys = append(body.Keys, showSigningKey(key))
	}
	return http.StatusOK, body, nil
}

// rotateSigningKey is POST /signing_keys/rotate: {"replace"?}, or no body. 201 with the new key.
//
// It announces a key, which signs after [keystore.SigningKeyNotice]; 409 when one is announced
// already. With "replace": true, for a signing key that leaked, the new key signs at once, all others
// are gone, and with them every token that was issued so far.
func rotateSigningKey(c *callContext) (int, any, error) {
	var body SigningKeyRotation
	if err := readOptionalBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	tokens, err := c.tokens()
	if err != nil {
		return 0, nil, err
	}
	rotate := tokens.RotateSigningKey
	if body.Replace {
		rotate = tokens.ReplaceSigningKeys
	}
	key, err := rotate(c.r.Context(), c.by)
	if err != nil {
		return 0, nil, signingKeyError(err)
	}
	return http.StatusCreated, showSigningKey(key), nil
}

// signingKeyError says what to do about signing keys that were altered: there is no deleting them
// one by one.
func signingKeyError(err error) error {
	if errors.Is(err, keystore.ErrAltered) {
		return &apiError{
			http.StatusServiceUnavailable,
			err.Error() + `; replace the signing keys, which ends all tokens: POST /signing_keys/rotate with {"replace": true}`,
		}
	}
	return err
}
