"""Where the server of images listens."""

from tosip.images.process.network import server_settings


def test_without_a_word_it_stays_on_loopback():
    settings = server_settings({"PATH": "/bin"}, 0)
    assert settings == {
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_SERVER_PORT": "0",
    }


def test_interfaces_and_searches_are_those_of_the_records_but_never_their_port():
    given = {
        "EPICS_PVAS_INTF_ADDR_LIST": "192.0.2.1:5075 [::1]:5075 10.0.0.1",
        "EPICS_PVAS_BROADCAST_PORT": "5099",
        "EPICS_PVAS_SERVER_PORT": "5075",
    }
    assert server_settings(given, 7000) == {
        "EPICS_PVAS_INTF_ADDR_LIST": "192.0.2.1 [::1] 10.0.0.1",
        "EPICS_PVAS_BROADCAST_PORT": "5099",
        "EPICS_PVAS_SERVER_PORT": "7000",
    }
