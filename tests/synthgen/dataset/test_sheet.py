import io

from PIL import Image

from synthgen.dataset import contact_sheet, encode_png

RED, BLUE = (200, 10, 10), (10, 10, 200)


def test_pictures_stand_in_rows():
    images = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, RED)]
    sheet = contact_sheet(images, ["a", "b", "c"], columns=2, size=50)
    assert sheet.width == 2 * 58 + 8
    assert sheet.getpixel((8 + 25, 8 + 25)) == RED
    assert sheet.getpixel((8 + 58 + 25, 8 + 25)) == BLUE
    assert sheet.getpixel((8 + 25, sheet.height // 2 + 25)) == RED


def test_a_picture_keeps_its_proportions():
    sheet = contact_sheet([Image.new("RGB", (100, 20), RED)], [""], size=50)
    assert sheet.getpixel((8 + 25, 8 + 25)) == RED
    assert sheet.getpixel((8 + 25, 8 + 5)) == (255, 255, 255)


def test_captions_are_wrapped_and_make_room():
    image = Image.new("RGB", (16, 16), RED)
    short = contact_sheet([image], ["AU1=1.0"], size=80)
    long = contact_sheet([image], ["asked AU1=1.0 AU2=2.0 AU4=3.0\nfound nothing"], size=80)
    assert long.height > short.height
    assert long.width == short.width


def test_a_sheet_is_the_same_each_time():
    images = [Image.new("RGB", (16, 16), RED)]
    first, second = (encode_png(contact_sheet(images, ["asked AU12=5.0"])) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).format == "PNG"
