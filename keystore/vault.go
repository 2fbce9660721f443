package keystore

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"
)

// A vault holds the keys that protect what is in a store. All of them are derived from one
// random data key, which the store keeps sealed under the master secret. So whoever reads the
// store can check no secret and open no signing key, whoever writes it can forge no record, and
// another master secret needs only the data key sealed anew: secrets that clients hold go on.
type vault struct {
	hashKey   []byte // keyed hash of secrets
	idKey     []byte // codes in key IDs
	recordKey []byte // authentication codes of records
	sealKey   []byte // sealed signing keys
}

const (
	vaultKeySize = 32
	codeSize     = blake2b.Size256
)

// newVault derives the keys with HKDF (RFC 5869), one label each.
func newVault(dataKey []byte) (*vault, error) {
	v := new(vault)
	for label, key := range map[string]*[]byte{
		"deployment keys: hash of secrets": &v.hashKey,
		"deployment keys: key IDs":         &v.idKey,
		"deployment keys: record codes":    &v.recordKey,
		"deployment keys: signing keys":    &v.sealKey,
	} {
		derived, err := hkdf.Key(sha256.New, dataKey, nil, label, vaultKeySize)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		*key = derived
	}
	return v, nil
}

// hashSecret is what a store keeps of a secret. The key ID is part of it, so that the hash of
// one key is of no use in the record of another. A slow password hash would protect nothing:
// a secret has 256 random bits, there is no list of likely ones to try.
func (v *vault) hashSecret(keyID string, s Secret) []byte {
	return v.code(v.hashKey, keyID, s.random[:])
}

// sealRecord puts the authentication code of a record before its content. The record's name is
// part of the code, so that no record can be moved to another name.
func (v *vault) sealRecord(name string, content []byte) []byte {
	return append(v.code(v.recordKey, name, content), content...)
}

// openRecord returns the content of a record, or [ErrAltered].
func (v *vault) openRecord(name string, record []byte) ([]byte, error) {
	if len(record) < codeSize {
		return nil, fmt.Errorf("record %q: %w", name, ErrAltered)
	}
	code, content := record[:codeSize], record[codeSize:]
	if subtle.ConstantTimeCompare(code, v.code(v.recordKey, name, content)) != 1 {
		return nil, fmt.Errorf("record %q: %w", name, ErrAltered)
	}
	return content, nil
}

// code is BLAKE2b-256 (RFC 7693) keyed, of a name, a zero byte, and content. Names have no zero
// byte.
func (v *vault) code(key []byte, name string, content []byte) []byte {
	h, err := blake2b.New256(key)
	if err != nil {
		panic(err) // only for a key of the wrong length, and vaultKeySize is right
	}
	text := make([]byte, 0, len(name)+1+len(content)+codeSize)
	text = append(append(append(text, name...), 0), content...)
	h.Write(text)
	return h.Sum(text[len(text):])
}

// seal encrypts a signing key for the store; kid is bound to it.
func (v *vault) seal(kid string, plain []byte) []byte { return seal(v.sealKey, kid, plain) }

// unseal reverses seal.
func (v *vault) unseal(kid string, sealed []byte) ([]byte, error) {
	plain, ok := unseal(v.sealKey, kid, sealed)
	if !ok {
		return nil, fmt.Errorf("signing key %q: %w", kid, ErrAltered)
	}
	return plain, nil
}

// rootRecord is the record in which a store keeps its data key. It has no authentication code
// of its own: what is sealed in it authenticates itself.
const rootRecord = "root"

// root is the JSON of rootRecord.
type root struct {
	Version int    `json:"version"` // 1
	Salt    []byte `json:"salt"`    // of the key derived from the master secret
	Sealed  []byte `json:"sealed"`  // the data key
}

// newRoot makes a data key and its sealed form.
func newRoot(master []byte) (record []byte, v *vault, err error) {
	dataKey := make([]byte, vaultKeySize)
	rand.Read(dataKey)
	record, err = sealRoot(master, dataKey)
	if err != nil {
		return nil, nil, err
	}
	v, err = newVault(dataKey)
	return record, v, err
}

// sealRoot makes the record of a data key.
func sealRoot(master, dataKey []byte) ([]byte, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	wrapping, err := wrappingKey(master, salt)
	if err != nil {
		return nil, err
	}
	return json.Marshal(root{Version: 1, Salt: salt, Sealed: seal(wrapping, rootRecord, dataKey)})
}

// openRoot opens the data key of a store with the master secret, or says [ErrWrongSecret].
func openRoot(master, record []byte) (dataKey []byte, err error) {
	var r root
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, fmt.Errorf("record %q: %w", rootRecord, ErrAltered)
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("the store is of version %d, which this version does not know", r.Version)
	}
	wrapping, err := wrappingKey(master, r.Salt)
	if err != nil {
		return nil, err
	}
	dataKey, ok := unseal(wrapping, rootRecord, r.Sealed)
	if !ok {
		return nil, fmt.Errorf("%w: the store was set up with another one, or has been given another one since; configure that one, nothing was changed", ErrWrongSecret)
	}
	return dataKey, nil
}

// wrappingKey needs no slow derivation either: the master secret is random, and its length is
// checked where it is configured.
func wrappingKey(master, salt []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, master, salt, "deployment keys: data key", vaultKeySize)
}

// seal encrypts with XChaCha20-Poly1305, whose nonces are long enough to be random.
func seal(key []byte, name string, plain []byte) []byte {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(name))
}

func unseal(key []byte, name string, sealed []byte) ([]byte, bool) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	if len(sealed) < aead.NonceSize() {
		return nil, false
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(name))
	return plain, err == nil
}
