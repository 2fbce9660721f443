package admin

import (
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// changed says that the call has made a change: what [API].Changed is told once the call is
// answered.
func (c *callContext) changed(change keystore.Event) {
	change.Time, change.By, change.Address, change.Via = time.Now().UTC(), c.by.Name, c.by.Address, c.by.Via
	c.change = change
}
