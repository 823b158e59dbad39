from servemath_helpers.labs.frame import chrome


def test_cards_say_good_and_bad_with_a_sign_too():
    page = chrome.cards([("a", "1", "x", True), ("b", "2", "y", False), ("c", "<3>", "z", None)])
    assert "1 ✓" in page and "2 ✗" in page and "<b>&lt;3&gt;</b>" in page


def test_a_failure_is_announced_louder_than_news():
    assert 'role="alert"' in chrome.banner("fail", "A", "b")
    assert 'role="status"' in chrome.banner("ok", "A") and 'role="status"' in chrome.banner(
        "info", "A"
    )
