"""Cameras that send the same: each of them counts, and nothing of it is lost."""


def test_equal_frames_of_two_cameras_reach_archive_and_pipeline(site, put, image):
    """The archive lets us see that it has the bytes, and needs them once."""
    site.start_archive()
    site.start_gateway()
    for number, user in enumerate(("cam01", "cam02"), 1):
        with site.ftp(user) as camera:
            assert put(camera, "bias.fits", image()).startswith("226")
        site.until_delivered(number)
    stored = [(file.camera, file.name) for file in site.stored]
    assert stored == [("cam01", "bias.fits"), ("cam02", "bias.fits")]
    assert site.archived() == {"bias.fits": image()}
    assert site.counters.balanced
    assert site.counters.duplicates == 0


def test_equal_uploads_under_one_temporary_name_can_all_be_renamed(site, put):
    site.start_archive()
    site.start_gateway()
    with site.ftp("cam01") as one, site.ftp("cam02") as other, site.ftp("cam01") as again:
        cameras = {"1.raw": one, "2.raw": other, "3.raw": again}
        for camera in cameras.values():
            assert put(camera, "image.tmp", bytes(5000)).startswith("226")
        for name, camera in cameras.items():
            camera.rename("image.tmp", name)
    site.until_delivered(3)
    assert site.archived() == dict.fromkeys(cameras, bytes(5000))
    assert sorted(file.name for file in site.stored) == sorted(cameras)


def test_good_bytes_are_not_dropped_for_a_damaged_copy(site, image):
    site.start_gateway()
    site.upload("x.fits", image())
    (copy,) = site.committed()
    copy.write_bytes(image()[::-1])
    assert site.upload("x.fits", image()).startswith("226")
    site.start_archive()
    site.until(lambda: site.counters.delivered and site.counters.dead)
    assert site.archived() == {"x.fits": image()}
    assert site.counters.duplicates == 0
