package keystore

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// AllowedIPs are the addresses from which a key may be used: blocks of addresses (CIDR, RFC 4632 and
// RFC 4291 section 2.3). None at all is every address.
//
// They are as [ParseAllowedIPs] makes them. An IPv4 address in IPv6 form (RFC 4291 section 2.5.5.2) is
// the IPv4 address, here and of a client.
type AllowedIPs []netip.Prefix

// MaxAllowedIPs is how many blocks of addresses a key may have.
const MaxAllowedIPs = 32

// ParseAllowedIPs reads a list of addresses and blocks, such as 192.0.2.7, 10.0.0.0/8, 2001:db8::/32.
// Of a block the bits after the prefix are set to 0, an address is a block of one, and what is there
// twice stays once. The error wraps [ErrInvalid].
func ParseAllowedIPs(texts []string) (AllowedIPs, error) {
	var list AllowedIPs
	for _, text := range texts {
		block, err := parseBlock(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, block) {
			list = append(list, block)
		}
		if err := list.validate(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func parseBlock(text string) (netip.Prefix, error) {
	var block netip.Prefix
	var zone string
	var err error
	if strings.Contains(text, "/") {
		block, err = netip.ParsePrefix(text)
	} else {
		var address netip.Addr
		if address, err = netip.ParseAddr(text); err == nil {
			block, zone = netip.PrefixFrom(address, address.BitLen()), address.Zone()
		}
	}
	switch {
	case err != nil && len(text) > longestBlock:
		return netip.Prefix{}, invalid("allowed_ips: want addresses and blocks such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")
	case err != nil:
		return netip.Prefix{}, invalid("allowed_ips: %q is neither an address nor a block such as 10.0.0.0/8 or 2001:db8::/32", text)
	case zone != "":
		return netip.Prefix{}, invalid("allowed_ips: %q has a zone, which means something on one machine only", text)
	case block.Addr().Is4In6() && block.Bits() < mappedBits:
		return netip.Prefix{}, invalid("allowed_ips: %q begins with a part of IPv4 in IPv6 form; write it as IPv4", text)
	case block.Addr().Is4In6():
		block = netip.PrefixFrom(block.Addr().Unmap(), block.Bits()-mappedBits)
	}
	return block.Masked(), nil
}

const (
	mappedBits   = 96 // of an IPv4 address in IPv6 form, those that say that it is one
	longestBlock = len("0000:0000:0000:0000:0000:ffff:255.255.255.255/128")
)

// String is the list with single spaces between; "" is every address.
func (list AllowedIPs) String() string {
	texts := make([]string, len(list))
	for i, block := range list {
		texts[i] = block.String()
	}
	return strings.Join(texts, " ")
}

// Allow reports whether a client may come from an address. The zero Addr, which is no address, is
// allowed where all are.
func (list AllowedIPs) Allow(client netip.Addr) bool {
	if len(list) == 0 {
		return true
	}
	client = client.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(block netip.Prefix) bool { return block.Contains(client) })
}

// UnmarshalJSON reads a list of texts as [ParseAllowedIPs] does.
func (list *AllowedIPs) UnmarshalJSON(data []byte) error {
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return invalid("allowed_ips: want a list of addresses and blocks such as 10.0.0.0/8")
	}
	parsed, err := ParseAllowedIPs(texts)
	if err != nil {
		return err
	}
	*list = parsed
	return nil
}

// validate refuses what ParseAllowedIPs does not make.
func (list AllowedIPs) validate() error {
	if len(list) > MaxAllowedIPs {
		return invalid("allowed_ips: a key has at most %d blocks of addresses", MaxAllowedIPs)
	}
	for _, block := range list {
		if !block.IsValid() || block.Addr().Is4In6() || block != block.Masked() {
			return invalid("allowed_ips: %s is not a block of addresses in its one form", block)
		}
	}
	return nil
}
