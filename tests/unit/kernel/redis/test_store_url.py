"""Reading the store's URL: one server is left alone, Sentinels are taken apart, and no message holds a secret."""

from __future__ import annotations

import pytest

from services.kernel.redis.store_url import MOST_NODES, MOST_SENTINELS, Address, check, parse


@pytest.mark.parametrize(
    "url", ["redis://:pw@h:6379/0", "rediss://h", "unix:///s?db=1", "", "h1,h2"]
)
def test_a_url_of_one_server_is_left_as_it_is(url):
    store = parse(url)
    assert (store.server, store.sentinels, store.name) == (url, (), "")


def test_credentials_before_the_hosts_and_options_are_the_servers():
    store = parse("redis+sentinel://user:p%40w@h1:1,h2,h3/main/4?socket_timeout=2")
    assert store.server == "redis://user:p%40w@at.sentinel.invalid/4?socket_timeout=2"
    assert store.name == "main"
    assert [str(one.address) for one in store.sentinels] == ["h1:1", "h2:26379", "h3:26379"]
    assert store.sentinels[0].url == "redis://h1:1/?socket_timeout=2"


def test_sentinels_have_credentials_of_their_own():
    store = parse(
        "rediss+sentinel://:pw@h1/main?sentinel_user=w&sentinel_password=a%2Fb%40c&db=3&ssl_ca_certs=/ca.pem#x"
    )
    assert store.server == "rediss://:pw@at.sentinel.invalid/0?db=3&ssl_ca_certs=%2Fca.pem"
    assert store.sentinels[0].url == "rediss://w:a%2Fb%40c@h1:26379/?ssl_ca_certs=%2Fca.pem"
    only = parse("redis+sentinel://h1/main/?sentinel_password=pw")
    assert only.sentinels[0].url == "redis://:pw@h1:26379/"


def test_addresses_of_ipv6_stand_in_brackets():
    store = parse("redis+sentinel://[::1]:5,[fe80::2]/main")
    assert [one.address for one in store.sentinels] == [
        Address("::1", 5),
        Address("fe80::2", 26379),
    ]
    assert store.sentinels[0].url == "redis://[::1]:5/"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://u:s3cret@h1", "names no master"),
        ("redis+sentinel://u:s3cret@h1/", "names no master"),
        ("redis+sentinel://u:s3cret@h1/main/one", "no number"),
        ("redis+sentinel://u:s3cret@/main", "no host:port"),
        ("redis+sentinel://u:s3cret@h1,/main", "no host:port"),
        ("redis+sentinel://u:s3cret@h1:0/main", "no host:port"),
        ("redis+sentinel://u:s3cret@h1:x/main", "no host:port"),
        ("redis+sentinel://u:s3cret@h1:65536/main", "no host:port"),
        ("redis+sentinel://u:s3cret@h1,h1:26379/main", "twice"),
        (
            f"redis+sentinel://{','.join(f'h{n}' for n in range(MOST_SENTINELS + 1))}/main",
            "more than",
        ),
    ],
)
def test_what_cannot_be_read_is_said_without_the_url(url, said):
    with pytest.raises(ValueError, match=said) as caught:
        check(url)
    assert "s3cret" not in str(caught.value)


def test_a_good_url_passes_the_check():
    assert check("redis+sentinel://h1/main") == "redis+sentinel://h1/main"


def test_nodes_of_a_cluster_share_credentials_and_options():
    store = parse("rediss+cluster://user:p%40w@h1:7000,h2,[::1]:5?ssl_ca_certs=/ca.pem")
    assert [str(node) for node in store.nodes] == ["h1:7000", "h2:6379", "[::1]:5"]
    assert store.at(store.nodes[2]) == "rediss://user:p%40w@[::1]:5/0?ssl_ca_certs=%2Fca.pem"
    assert store.sentinels == ()
    assert parse("redis+cluster://h1/0").nodes == parse("redis+cluster://h1/").nodes


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://u:s3cret@h1/1", "names a database"),
        ("redis+cluster://u:s3cret@h1/x", "names a database"),
        ("redis+cluster://u:s3cret@h1?db=2", "names a database"),
        ("redis+cluster://u:s3cret@", "no host:port"),
        ("redis+cluster://u:s3cret@h1,h1:6379", "a node twice"),
        (f"redis+cluster://{','.join(f'h{n}' for n in range(MOST_NODES + 1))}", "more than"),
    ],
)
def test_a_cluster_that_cannot_be_read_says_what_is_wrong(url, said):
    with pytest.raises(ValueError, match=said) as caught:
        check(url)
    assert "s3cret" not in str(caught.value)
