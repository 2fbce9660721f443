package keystore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// This file removes the oldest entries of the audit log.

// mostFaultySlots bounds how far one purge looks for an entry that is there.
const mostFaultySlots = 20 * auditBatch

// PurgeAudit removes entries that are older than the retention, and those beyond [MaxAuditEntries],
// oldest first. It says how many.
func (k *Keystore) PurgeAudit(ctx context.Context, retention time.Duration) (removed int, err error) {
	for {
		batch, err := k.purgeAudit(ctx, retention, MaxAuditEntries)
		removed += batch
		if err != nil || batch == 0 {
			return removed, err
		}
	}
}

func (k *Keystore) purgeAudit(ctx context.Context, retention time.Duration, most uint64) (removed int, err error) {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	now, err := k.earlierTime(ctx)
	if err != nil {
		return 0, err
	}
	err = retry(auditRecord, func() error {
		removed = 0
		head, before, err := k.readAuditHead(ctx, v)
		if err != nil {
			return err
		}
		slots, err := k.oldestSlots(ctx, v, head)
		if err != nil {
			return err
		}
		over := func(slot AuditSlot) bool {
			return slot.Entry.oldest().Before(now.Add(-retention)) || slot.Seq+most <= head.Last
		}
		// Up to the last one that is there and whose time is over. What is altered or missing before it goes
		// with it.
		due := 0
		for i, slot := range slots {
			if slot.Fault != "" {
				continue
			}
			if !over(slot) {
				break
			}
			due = i + 1
		}
		due = min(due, auditBatch)
		if due == 0 {
			return nil
		}
		var steps []Step
		for _, slot := range slots[:due] {
			steps = append(steps, Step{Kind: DeleteRecord, Name: auditEntryRecord(slot.Seq)})
			if ValidateDeploymentID(slot.Entry.Deployment) == nil {
				steps = append(steps, Step{Kind: RemoveMember, Name: auditIndex(slot.Entry.Deployment), Member: AuditPlace(slot.Seq)})
			}
		}
		head.First = slots[due-1].Seq + 1
		if head.FirstPrevious, err = hashBefore(slots, due); err != nil {
			return err
		}
		record, err := encodeRecord(v, auditRecord, head)
		if err != nil {
			return err
		}
		removed = due
		return k.store.Apply(ctx, Change{
			Conditions: []Condition{unchanged(auditRecord, before)},
			Steps:      append(steps, Step{Kind: PutRecord, Name: auditRecord, Value: record}),
		})
	})
	return removed, err
}

// oldestSlots reads a batch, and more where there is no entry at all in what it has read.
func (k *Keystore) oldestSlots(ctx context.Context, v *vault, head auditHead) (slots []AuditSlot, err error) {
	found := false
	for seq := head.First; seq <= head.Last && !found && len(slots) < mostFaultySlots; {
		var seqs []uint64
		for ; seq <= head.Last && len(seqs) < auditBatch; seq++ {
			seqs = append(seqs, seq)
		}
		batch, err := k.readAudit(ctx, v, seqs)
		if err != nil {
			return nil, err
		}
		for _, slot := range batch {
			found = found || slot.Fault == ""
		}
		slots = append(slots, batch...)
	}
	return slots, nil
}

// oldest is the time by which an entry is kept. The clock of the node that made the change may have been
// ahead.
func (e *AuditEvent) oldest() time.Time {
	if !e.Entered.IsZero() && e.Entered.Before(e.Time) {
		return e.Entered
	}
	return e.Time
}

// hashBefore is the hash that the entry after those that are removed follows, if it is known.
func hashBefore(slots []AuditSlot, removed int) (string, error) {
	var line struct {
		Hash     string `json:"hash"`
		Previous string `json:"previous_hash"`
	}
	read := func(slot AuditSlot) error {
		if err := json.Unmarshal(slot.Entry.Line, &line); err != nil {
			return fmt.Errorf("audit entry %d: %w", slot.Seq, err)
		}
		return nil
	}
	if last := slots[removed-1]; last.Fault == "" {
		err := read(last)
		return line.Hash, err
	}
	if removed < len(slots) && slots[removed].Fault == "" {
		err := read(slots[removed])
		return line.Previous, err
	}
	return noHash, nil // what follows is a fault itself
}
