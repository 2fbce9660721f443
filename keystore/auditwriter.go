package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// This file writes the audit log. All nodes do, each what it finds not entered yet; the head of the log
// is replaced on the condition that nobody else has, so every change is entered once, whoever comes
// first.

// Bounds of the audit log. What anybody can cause, refusals, must not push out what matters.
const (
	// MaxAuditEntries is how many entries are kept at most, also when their time is not over: some
	// 400 MB.
	MaxAuditEntries = 500_000

	// MaxAuditRefusals is how many refusals are entered in an hour by all nodes together. The others
	// are counted, and their number entered after the hour.
	MaxAuditRefusals = 200

	// auditBatch bounds the changes, the refusals and the removals of one atomic step, each.
	auditBatch = 200
)

// WriteAudit enters changes that are not in the audit log yet, and refusals: AuditEvent with Time,
// Address, Deployment, Key, User, Handler, Error, Count and Since. It says how many entries it has
// written, and which refusals are left when there is an error. When the store did not answer, those may
// have been entered all the same.
func (k *Keystore) WriteAudit(ctx context.Context, refusals []AuditEvent) (written int, left []AuditEvent, err error) {
	for {
		batch := refusals[:min(len(refusals), auditBatch)]
		wrote, more, err := k.writeAudit(ctx, batch)
		if err != nil {
			return written, refusals, err
		}
		written, refusals = written+wrote, refusals[len(batch):]
		if !more && len(refusals) == 0 {
			return written, nil, nil
		}
	}
}

func (k *Keystore) writeAudit(ctx context.Context, refusals []AuditEvent) (wrote int, more bool, err error) {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return 0, false, err
	}
	defer cancel()
	err = retry(auditRecord, func() error {
		head, before, err := k.readAuditHead(ctx, v)
		altered := errors.Is(err, ErrAltered)
		if err != nil && !altered {
			return err
		}
		changes, err := k.store.Log(ctx, head.Change, auditBatch)
		if err != nil {
			return err
		}
		w := &auditWriter{vault: v, head: head, now: k.now().UTC().Truncate(time.Millisecond)}
		if altered {
			w.enter(AuditEvent{Time: w.now, Kind: AuditAltered, Outcome: OutcomeUnknown})
		}
		w.changes(changes)
		w.refusals(refusals)
		wrote, more = w.wrote, len(changes) == auditBatch
		if w.head == head || w.err != nil {
			return w.err
		}
		record, err := encodeRecord(v, auditRecord, w.head)
		if err != nil {
			return err
		}
		return k.store.Apply(ctx, Change{
			Conditions: []Condition{unchanged(auditRecord, before)},
			Steps:      append(w.steps, Step{Kind: PutRecord, Name: auditRecord, Value: record}),
		})
	})
	return wrote, more, err
}

// An auditWriter assembles one atomic step.
type auditWriter struct {
	vault *vault
	now   time.Time
	head  auditHead // after the step
	steps []Step
	wrote int
	err   error // the first
}

// enter appends an entry.
func (w *auditWriter) enter(event AuditEvent) {
	event.Seq = w.head.Last + 1
	line, hash, err := auditLine(w.head.Hash, event)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	name := auditEntryRecord(event.Seq)
	w.steps = append(w.steps, Step{Kind: PutRecord, Name: name, Value: w.vault.sealRecord(name, line)})
	if ValidateDeploymentID(event.Deployment) == nil {
		w.steps = append(w.steps, Step{Kind: AddMember, Name: auditIndex(event.Deployment), Member: AuditPlace(event.Seq)})
	}
	w.head.Last, w.head.Hash = event.Seq, hash
	w.wrote++
}

// changes enters entries of the change log, and how many are missing between them.
func (w *auditWriter) changes(entries []LogEntry) {
	for _, entry := range entries {
		if missing := entry.Seq - w.head.Change - 1; missing > 0 {
			w.enter(AuditEvent{Time: w.now, Kind: AuditGap, Outcome: OutcomeUnknown, Count: missing})
		}
		w.head.Change = entry.Seq
		event, err := openEvent(w.vault, entry.Event)
		if err != nil {
			w.enter(AuditEvent{Time: w.now, Kind: AuditAltered, Outcome: OutcomeUnknown, Change: entry.Seq})
			continue
		}
		w.enter(AuditEvent{
			Time: event.Time, Kind: event.Kind, Outcome: OutcomeDone, By: event.By, Address: event.Address,
			Deployment: event.Deployment, Key: event.Key, User: event.User, Token: event.Token,
			Set: event.Set, Change: entry.Seq,
		})
	}
}

// refusals enters as many as there may be in this hour, and counts the others.
func (w *auditWriter) refusals(refusals []AuditEvent) {
	if hour := w.now.Unix() / int64(time.Hour/time.Second); hour != w.head.RefusalHour {
		if w.head.Unentered > 0 {
			w.enter(AuditEvent{
				Time: w.now, Kind: RefusalsSummed, Outcome: OutcomeRefused,
				Count: w.head.Unentered, Since: w.head.Since,
			})
			w.head.Unentered, w.head.Since = 0, time.Time{}
		}
		if len(refusals) > 0 {
			w.head.RefusalHour, w.head.Refusals = hour, 0
		}
	}
	for _, refusal := range refusals {
		if w.head.Refusals >= MaxAuditRefusals || refusal.Kind == RefusalsSummed {
			if w.head.Unentered == 0 {
				w.head.Since = w.now
			}
			w.head.Unentered += max(refusal.Count, 1)
			continue
		}
		w.head.Refusals++
		refusal.Kind, refusal.Outcome = RequestRefused, OutcomeRefused
		refusal.Time, refusal.Since = refusal.Time.UTC().Truncate(time.Millisecond), refusal.Since.UTC().Truncate(time.Millisecond)
		if refusal.Count <= 1 {
			refusal.Count, refusal.Since = 0, time.Time{}
		}
		w.enter(refusal)
	}
}

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
		var seqs []uint64
		for seq := head.First; seq <= head.Last && len(seqs) < auditBatch; seq++ {
			seqs = append(seqs, seq)
		}
		slots, err := k.readAudit(ctx, v, seqs)
		if err != nil {
			return err
		}
		// Up to the last one that is there and whose time is over. What is altered or missing before it
		// goes with it.
		due := -1
		for i, slot := range slots {
			over := slot.Entry.Time.Before(now.Add(-retention)) || slot.Seq+most <= head.Last
			if slot.Fault == "" && !over {
				break
			}
			if slot.Fault == "" {
				due = i
			}
		}
		if due < 0 {
			return nil
		}
		var steps []Step
		for _, slot := range slots[:due+1] {
			steps = append(steps, Step{Kind: DeleteRecord, Name: auditEntryRecord(slot.Seq)})
			if ValidateDeploymentID(slot.Entry.Deployment) == nil {
				steps = append(steps, Step{Kind: RemoveMember, Name: auditIndex(slot.Entry.Deployment), Member: AuditPlace(slot.Seq)})
			}
		}
		var last struct {
			Hash string `json:"hash"`
		}
		if err := json.Unmarshal(slots[due].Entry.Line, &last); err != nil {
			return err
		}
		head.First, head.FirstPrevious = slots[due].Seq+1, last.Hash
		record, err := encodeRecord(v, auditRecord, head)
		if err != nil {
			return err
		}
		removed = due + 1
		return k.store.Apply(ctx, Change{
			Conditions: []Condition{unchanged(auditRecord, before)},
			Steps:      append(steps, Step{Kind: PutRecord, Name: auditRecord, Value: record}),
		})
	})
	return removed, err
}
