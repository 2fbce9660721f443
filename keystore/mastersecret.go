package keystore

import "context"

// MinMasterSize is how many bytes a master secret has at least.
const MinMasterSize = 32

// ChangeMaster gives the store another master secret: its data key is sealed anew, and all else
// stays as it is. Keys, their secrets and the tokens that were issued go on.
//
// Nodes that have the store open go on too, with the data key in their memory. One that opens it
// later needs the new secret, so each should be configured with it before it is started again;
// that also holds for k itself, which keeps the secret that it was made with. Errors:
// [ErrWrongSecret] when that is not the store's, or not any more; [ErrInvalid] for a new one
// that is shorter than [MinMasterSize].
func (k *Keystore) ChangeMaster(ctx context.Context, by Caller, master []byte) error {
	if len(master) < MinMasterSize {
		return invalid("the new master secret has %d bytes: use %d or more, random", len(master), MinMasterSize)
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return retry(rootRecord, func() error {
		// The data key is opened anew: an open vault does not say that the secret is still right.
		records, err := k.store.Get(ctx, rootRecord)
		if err != nil {
			return err
		}
		before := records[0]
		if before == nil {
			return notFound("record", rootRecord)
		}
		dataKey, err := openRoot(k.master, before)
		if err != nil {
			return err
		}
		after, err := sealRoot(master, dataKey)
		if err != nil {
			return err
		}
		return k.apply(ctx, v, Change{
			Conditions: []Condition{{Kind: RecordEquals, Name: rootRecord, Value: before}},
			Steps:      []Step{{Kind: PutRecord, Name: rootRecord, Value: after}},
		}, by, Event{Kind: StoreSecretChanged})
	})
}
