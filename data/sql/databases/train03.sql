CREATE TABLE deer (ruler TEXT, bench TEXT, repeats INTEGER, kit TEXT);
INSERT INTO deer VALUES
('Tebak', 'Moter', 496, 'Wisis'),
('Mekin', 'Punski', 832, 'Suvel'),
('Vefer', 'Zedum', 815, 'Suvel'),
('Kegon', 'Wedis', 949, 'Gobis'),
('Hekic', 'Punski', 756, 'Hisski'),
('Jumski', 'Punski', 796, 'Wisis'),
('Pigoff', 'Moter', 218, 'Yazoff'),
('Fugen', 'Moter', 936, 'Didum'),
('Yidak', 'Wedis', 701, 'Gobis'),
('Wirel', 'Moter', 200, 'Hisski');

CREATE TABLE elves (kit TEXT, solos INTEGER, term TEXT);
INSERT INTO elves VALUES
('Suvel', 179, 'Volis'),
('Wisis', 647, 'Tifov'),
('Gobis', 222, 'Sugis'),
('Hisski', 612, 'Volis'),
('Didum', 306, 'Sugis'),
('Yazoff', 490, 'Sugis');

CREATE TABLE sandals (critic TEXT, editor TEXT, extras INTEGER, altar TEXT);
INSERT INTO sandals VALUES
('Hazin', 'Bomel', 464, 'Sumic'),
('Juper', 'Sopel', 327, 'Meron'),
('Naker', 'Sopel', 736, 'Sumic'),
('Kekum', 'Bomel', 703, 'Yefoff'),
('Liken', 'Riner', 72, 'Meron'),
('Pobak', 'Riner', 538, 'Mokon'),
('Difski', 'Bomel', 610, 'Mutin'),
('Tesic', 'Gaber', 177, 'Fabum'),
('Biris', 'Riner', 92, 'Yefoff'),
('Wepski', 'Bomel', 482, 'Mutin');

CREATE TABLE harps (altar TEXT, folds INTEGER, heir TEXT);
INSERT INTO harps VALUES
('Sumic', 50, 'Kulen'),
('Meron', 903, 'Wimel'),
('Yefoff', 284, 'Wimel'),
('Mutin', 507, 'Tuber'),
('Fabum', 704, 'Tuber'),
('Mokon', 172, 'Wimel');

CREATE TABLE hoods (look TEXT, year INTEGER, fuel TEXT, front TEXT);
INSERT INTO hoods VALUES
('Galic', 987, 'Tosel', 'Jezak'),
('Fuver', 369, 'Tosel', 'Gumic'),
('Dosoff', 684, 'Tebski', 'Futon'),
('Kidon', 476, 'Hovski', 'Widoff'),
('Dezum', 575, 'Tebski', 'Gumic'),
('Hupon', 167, 'Tebski', 'Futon'),
('Zader', 216, 'Hovski', 'Widoff'),
('Yivum', 862, 'Hovski', 'Jezak'),
('Tuzel', 761, 'Pukski', 'Kotum'),
('Wedak', 638, 'Hovski', 'Zokon');

CREATE TABLE comics (front TEXT, cost INTEGER, buddy TEXT);
INSERT INTO comics VALUES
('Jezak', 633, 'Gezen'),
('Gumic', 910, 'Rafov'),
('Widoff', 137, 'Gezen'),
('Futon', 208, 'Sopoff'),
('Zokon', 447, 'Gezen'),
('Kotum', 410, 'Rafov');

CREATE TABLE ghosts (pal TEXT, salon TEXT, offers INTEGER, bearer TEXT);
INSERT INTO ghosts VALUES
('Vazen', 'Timov', 313, 'Kerer'),
('Puzoff', 'Dimer', 252, 'Jivic'),
('Zamin', 'Rolel', 35, 'Kerer'),
('Pufski', 'Dimer', 534, 'Sisin'),
('Saton', 'Dimer', 959, 'Katov'),
('Yuzak', 'Rolel', 533, 'Mopis'),
('Pumis', 'Rolel', 987, 'Lesov'),
('Difov', 'Timov', 222, 'Jivic'),
('Netoff', 'Rolel', 384, 'Lesov'),
('Yavon', 'Wodon', 293, 'Mopis');

CREATE TABLE cookers (bearer TEXT, city TEXT, crowd INTEGER);
INSERT INTO cookers VALUES
('Mopis', 'Wenin', 966),
('Jivic', 'Girel', 544),
('Lesov', 'Wenin', 250),
('Kerer', 'Wenin', 274),
('Sisin', 'Girel', 520),
('Katov', 'Vilski', 670);

CREATE TABLE blogs (setter TEXT, sage TEXT, bolts INTEGER, mood TEXT);
INSERT INTO blogs VALUES
('Kazov', 'Vobin', 973, 'Yanel'),
('Dupis', 'Potov', 991, 'Yanel'),
('Homel', 'Jevis', 146, 'Butel'),
('Minoff', 'Vobin', 581, 'Kalum'),
('Yover', 'Moger', 348, 'Yonak'),
('Fubum', 'Jevis', 371, 'Hagis'),
('Milic', 'Potov', 699, 'Butel'),
('Nitov', 'Potov', 618, 'Jiser'),
('Veren', 'Jevis', 982, 'Kalum'),
('Yaric', 'Potov', 179, 'Jiser');

CREATE TABLE dragons (mood TEXT, taxes INTEGER, rubric TEXT);
INSERT INTO dragons VALUES
('Kalum', 704, 'Bavis'),
('Jiser', 566, 'Lakel'),
('Yanel', 434, 'Lakel'),
('Butel', 216, 'Siloff'),
('Hagis', 134, 'Siloff'),
('Yonak', 24, 'Siloff');

CREATE TABLE pilots (finish TEXT, suits INTEGER, medic TEXT, bench TEXT);
INSERT INTO pilots VALUES
('Rerel', 397, 'Sosel', 'Humen'),
('Tolski', 436, 'Sosel', 'Wekov'),
('Pamin', 604, 'Juton', 'Meloff'),
('Linak', 948, 'Sosel', 'Meloff'),
('Figov', 842, 'Risak', 'Tatin'),
('Sesen', 590, 'Sosel', 'Bakin'),
('Zisel', 637, 'Risak', 'Bakin'),
('Yonel', 700, 'Risak', 'Yatel'),
('Hezin', 79, 'Lukon', 'Yatel'),
('Fiben', 981, 'Lukon', 'Humen');

CREATE TABLE keepers (bench TEXT, visitor TEXT, bonds INTEGER);
INSERT INTO keepers VALUES
('Yatel', 'Bimen', 152),
('Meloff', 'Gifen', 696),
('Humen', 'Bimen', 549),
('Bakin', 'Magic', 93),
('Wekov', 'Magic', 421),
('Tatin', 'Bimen', 612);

CREATE TABLE coaches (type TEXT, fans INTEGER, youth TEXT, net TEXT);
INSERT INTO coaches VALUES
('Ganum', 529, 'Gukin', 'Tisis'),
('Totum', 892, 'Taric', 'Zugon'),
('Rosov', 839, 'Limer', 'Yazis'),
('Padis', 280, 'Taric', 'Yazis'),
('Vofen', 949, 'Taric', 'Jubel'),
('Koger', 427, 'Taric', 'Jomis'),
('Mosov', 893, 'Vopov', 'Tisis'),
('Viker', 439, 'Gukin', 'Zugon'),
('Pumak', 644, 'Limer', 'Jegis'),
('Nesis', 815, 'Gukin', 'Jomis');

CREATE TABLE herbs (net TEXT, raises INTEGER, outlet TEXT);
INSERT INTO herbs VALUES
('Yazis', 105, 'Yupen'),
('Tisis', 376, 'Yupen'),
('Jomis', 141, 'Weger'),
('Zugon', 132, 'Weson'),
('Jegis', 313, 'Yupen'),
('Jubel', 472, 'Weger');

CREATE TABLE groves (cell TEXT, waiter TEXT, stops INTEGER, hero TEXT);
INSERT INTO groves VALUES
('Gesel', 'Ridis', 271, 'Vazak'),
('Keter', 'Bidov', 689, 'Vadin'),
('Lirum', 'Leris', 87, 'Wanum'),
('Janen', 'Ridis', 185, 'Vadin'),
('Jafic', 'Sokski', 964, 'Nezer'),
('Guzoff', 'Sokski', 435, 'Vokin'),
('Zeker', 'Bidov', 852, 'Sulov'),
('Yatin', 'Sokski', 740, 'Vokin'),
('Tebon', 'Sokski', 217, 'Vazak'),
('Wuzis', 'Bidov', 638, 'Nezer');

CREATE TABLE robes (hero TEXT, bed TEXT, axles INTEGER);
INSERT INTO robes VALUES
('Vadin', 'Ronov', 773),
('Vazak', 'Relski', 869),
('Nezer', 'Relski', 744),
('Vokin', 'Relski', 224),
('Sulov', 'Ronov', 590),
('Wanum', 'Soris', 101);

CREATE TABLE letters (cover TEXT, place TEXT, swaps INTEGER, fleet TEXT);
INSERT INTO letters VALUES
('Dolen', 'Sinis', 645, 'Vofoff'),
('Bebum', 'Rapin', 854, 'Yetski'),
('Henov', 'Zizon', 838, 'Vofoff'),
('Suder', 'Sinis', 152, 'Konin'),
('Komak', 'Zizon', 271, 'Gager'),
('Wabum', 'Sinis', 664, 'Bofak'),
('Vitski', 'Rapin', 580, 'Sovski'),
('Kesic', 'Sinis', 874, 'Gager'),
('Notski', 'Gonski', 25, 'Sovski'),
('Kogoff', 'Zizon', 709, 'Konin');

CREATE TABLE phones (fleet TEXT, herds INTEGER, buddy TEXT);
INSERT INTO phones VALUES
('Vofoff', 136, 'Bebel'),
('Sovski', 755, 'Wafel'),
('Konin', 60, 'Wafel'),
('Gager', 177, 'Bebel'),
('Yetski', 436, 'Gavoff'),
('Bofak', 439, 'Bebel');

CREATE TABLE lawyers (thane TEXT, tickets INTEGER, week TEXT, heir TEXT);
INSERT INTO lawyers VALUES
('Jefoff', 717, 'Mosski', 'Sagum'),
('Fifen', 775, 'Rakov', 'Fikski'),
('Gorel', 416, 'Mosski', 'Rebel'),
('Boboff', 484, 'Sebak', 'Rebel'),
('Rofic', 773, 'Vefen', 'Zanski'),
('Kebak', 297, 'Rakov', 'Foder'),
('Nezer', 194, 'Rakov', 'Zanski'),
('Notak', 644, 'Mosski', 'Fikski'),
('Lulov', 966, 'Mosski', 'Bozin'),
('Gumin', 611, 'Sebak', 'Bozin');

CREATE TABLE booths (heir TEXT, ally TEXT, volume INTEGER);
INSERT INTO booths VALUES
('Rebel', 'Wogin', 614),
('Fikski', 'Wugov', 21),
('Bozin', 'Faron', 812),
('Zanski', 'Faron', 391),
('Sagum', 'Wugov', 422),
('Foder', 'Wugov', 436);

CREATE TABLE jars (worker TEXT, flow INTEGER, taxi TEXT, pet TEXT);
INSERT INTO jars VALUES
('Wegov', 658, 'Zukoff', 'Nakum'),
('Tufen', 297, 'Hoken', 'Zuter'),
('Yiser', 568, 'Pezon', 'Zuter'),
('Zafon', 465, 'Hoken', 'Gadon'),
('Metum', 101, 'Pezon', 'Rinov'),
('Yofak', 986, 'Zukoff', 'Barum'),
('Didak', 67, 'Hoken', 'Barum'),
('Rugon', 467, 'Zukoff', 'Gezak'),
('Hefum', 331, 'Tazov', 'Gezak'),
('Jener', 100, 'Zukoff', 'Nakum');

CREATE TABLE tapes (pet TEXT, chapter TEXT, price INTEGER);
INSERT INTO tapes VALUES
('Zuter', 'Zosen', 116),
('Nakum', 'Vabski', 952),
('Gezak', 'Vabski', 123),
('Barum', 'Nutum', 313),
('Rinov', 'Vabski', 475),
('Gadon', 'Nutum', 647);

CREATE TABLE pigs (crown TEXT, drinks INTEGER, peer TEXT, model TEXT);
INSERT INTO pigs VALUES
('Jakak', 697, 'Rofoff', 'Vivum'),
('Kofski', 657, 'Rofoff', 'Hitis'),
('Fepen', 34, 'Nokov', 'Morum'),
('Mufis', 662, 'Nokov', 'Tokov'),
('Goten', 170, 'Nokov', 'Memum'),
('Lonak', 810, 'Yobak', 'Vivum'),
('Jedum', 129, 'Megak', 'Tokov'),
('Mefak', 187, 'Nokov', 'Gilin'),
('Wapon', 869, 'Rofoff', 'Morum'),
('Renum', 987, 'Megak', 'Memum');

CREATE TABLE axes (model TEXT, colony TEXT, size INTEGER);
INSERT INTO axes VALUES
('Vivum', 'Zedum', 638),
('Tokov', 'Domen', 847),
('Morum', 'Zedum', 584),
('Memum', 'Hivis', 887),
('Hitis', 'Domen', 475),
('Gilin', 'Domen', 109);

CREATE TABLE atlases (bed TEXT, irons INTEGER, regent TEXT, court TEXT);
INSERT INTO atlases VALUES
('Legoff', 163, 'Roron', 'Pomen'),
('Risak', 809, 'Roron', 'Pomen'),
('Sodum', 529, 'Roron', 'Pomin'),
('Kegon', 777, 'Barum', 'Zosis'),
('Hotel', 670, 'Bumin', 'Zosis'),
('Fofak', 701, 'Sifoff', 'Taler'),
('Juken', 745, 'Sifoff', 'Taler'),
('Purin', 711, 'Barum', 'Temak'),
('Fuvin', 815, 'Sifoff', 'Temak'),
('Himer', 649, 'Roron', 'Juron');

CREATE TABLE medics (court TEXT, noise INTEGER, farmer TEXT);
INSERT INTO medics VALUES
('Zosis', 172, 'Wezum'),
('Taler', 199, 'Wezum'),
('Temak', 114, 'Benon'),
('Pomen', 580, 'Wezum'),
('Juron', 787, 'Sogak'),
('Pomin', 124, 'Sogak');

CREATE TABLE twins (cousin TEXT, caps INTEGER, alias TEXT, station TEXT);
INSERT INTO twins VALUES
('Wasov', 24, 'Vepen', 'Bumski'),
('Zuroff', 699, 'Nuter', 'Kazon'),
('Haper', 703, 'Vepen', 'Bumski'),
('Wekov', 22, 'Peroff', 'Fasis'),
('Givon', 798, 'Nuter', 'Gezel'),
('Rosum', 983, 'Katen', 'Kapak'),
('Yupis', 674, 'Vepen', 'Dinoff'),
('Zinon', 69, 'Vepen', 'Gezel'),
('Yalic', 713, 'Katen', 'Dinoff'),
('Napak', 386, 'Nuter', 'Kazon');

CREATE TABLE papers (station TEXT, waiter TEXT, stings INTEGER);
INSERT INTO papers VALUES
('Dinoff', 'Konel', 60),
('Kazon', 'Donon', 48),
('Gezel', 'Konel', 422),
('Bumski', 'Donon', 322),
('Fasis', 'Donon', 27),
('Kapak', 'Gegum', 65);

CREATE TABLE nurses (setter TEXT, timber TEXT, roofs INTEGER, carrier TEXT);
INSERT INTO nurses VALUES
('Wigski', 'Kubon', 366, 'Paver'),
('Tovel', 'Pedski', 54, 'Tolak'),
('Rumer', 'Bapak', 978, 'Keler'),
('Nipon', 'Bapak', 198, 'Yeken'),
('Wapum', 'Kubon', 918, 'Yeken'),
('Yorski', 'Bapak', 52, 'Yalski'),
('Lotak', 'Kubon', 115, 'Vezoff'),
('Vumer', 'Bapak', 926, 'Vezoff'),
('Higel', 'Bepum', 854, 'Paver'),
('Zonon', 'Pedski', 199, 'Keler');

CREATE TABLE storms (carrier TEXT, machine TEXT, tabs INTEGER);
INSERT INTO storms VALUES
('Vezoff', 'Homel', 758),
('Yeken', 'Hepen', 306),
('Keler', 'Vogoff', 980),
('Paver', 'Hepen', 138),
('Yalski', 'Hepen', 862),
('Tolak', 'Homel', 704);

CREATE TABLE alleys (staff TEXT, roses INTEGER, gate TEXT, station TEXT);
INSERT INTO alleys VALUES
('Gukel', 452, 'Wiger', 'Hanis'),
('Lafum', 39, 'Wiger', 'Mabin'),
('Yitin', 50, 'Wiger', 'Febski'),
('Zokon', 819, 'Liton', 'Feren'),
('Jugon', 204, 'Wifer', 'Febski'),
('Wesum', 907, 'Nutel', 'Zagov'),
('Bazin', 608, 'Nutel', 'Feren'),
('Wiper', 129, 'Liton', 'Zagov'),
('Narov', 238, 'Liton', 'Hanis'),
('Ribis', 412, 'Wiger', 'Delel');

CREATE TABLE oars (station TEXT, screen TEXT, stories INTEGER);
INSERT INTO oars VALUES
('Zagov', 'Yimic', 79),
('Feren', 'Tonis', 756),
('Febski', 'Tonon', 162),
('Hanis', 'Tonis', 93),
('Mabin', 'Tonis', 618),
('Delel', 'Tonon', 964);

CREATE TABLE geese (path TEXT, lumens INTEGER, branch TEXT, agency TEXT);
INSERT INTO geese VALUES
('Pikis', 432, 'Pimski', 'Moger'),
('Yumoff', 967, 'Wepel', 'Bugak'),
('Relov', 575, 'Monel', 'Gegoff'),
('Tovski', 707, 'Wepel', 'Zoris'),
('Zizski', 274, 'Monel', 'Zoris'),
('Feroff', 269, 'Wepel', 'Moger'),
('Perski', 744, 'Pudoff', 'Babel'),
('Lisum', 100, 'Monel', 'Gaver'),
('Hapin', 604, 'Monel', 'Gaver'),
('Wuzer', 663, 'Pudoff', 'Bugak');

CREATE TABLE hounds (agency TEXT, helper TEXT, slices INTEGER);
INSERT INTO hounds VALUES
('Moger', 'Dagak', 170),
('Zoris', 'Mozer', 960),
('Gaver', 'Water', 956),
('Bugak', 'Mozer', 217),
('Babel', 'Mozer', 465),
('Gegoff', 'Dagak', 74);

CREATE TABLE ballads (rubric TEXT, faces INTEGER, giver TEXT, field TEXT);
INSERT INTO ballads VALUES
('Varak', 959, 'Demer', 'Memov'),
('Dotov', 358, 'Roden', 'Zabon'),
('Hatov', 73, 'Roden', 'Zabon'),
('Pesski', 271, 'Sazski', 'Votov'),
('Veter', 639, 'Roden', 'Votov'),
('Povel', 730, 'Kimon', 'Memov'),
('Nokis', 986, 'Sazski', 'Nemer'),
('Zefov', 167, 'Kimon', 'Rotov'),
('Gefov', 717, 'Sazski', 'Duvum'),
('Yetov', 209, 'Roden', 'Rotov');

CREATE TABLE bosses (field TEXT, herald TEXT, funds INTEGER);
INSERT INTO bosses VALUES
('Memov', 'Gosski', 712),
('Zabon', 'Gosski', 124),
('Rotov', 'Gibum', 914),
('Votov', 'Gosski', 144),
('Nemer', 'Gibum', 766),
('Duvum', 'Zafic', 253);

CREATE TABLE brooks (timber TEXT, gunner TEXT, burns INTEGER, meal TEXT);
INSERT INTO brooks VALUES
('Kumel', 'Komak', 141, 'Tanak'),
('Heter', 'Gozum', 953, 'Lamer'),
('Pizak', 'Nisel', 548, 'Keser'),
('Dalon', 'Nisel', 959, 'Tanak'),
('Jozer', 'Nimin', 712, 'Rebin'),
('Sifel', 'Nimin', 528, 'Keser'),
('Gekak', 'Nimin', 470, 'Huzin'),
('Kapic', 'Komak', 142, 'Huzin'),
('Hezak', 'Komak', 34, 'Bomic'),
('Gigon', 'Komak', 847, 'Rebin');

CREATE TABLE tools (meal TEXT, writer TEXT, laps INTEGER);
INSERT INTO tools VALUES
('Huzin', 'Kupov', 720),
('Keser', 'Toson', 440),
('Rebin', 'Toson', 137),
('Tanak', 'Higov', 136),
('Bomic', 'Kupov', 915),
('Lamer', 'Toson', 608);

CREATE TABLE bakers (keeper TEXT, cheese TEXT, batches INTEGER, hero TEXT);
INSERT INTO bakers VALUES
('Fazski', 'Nanoff', 980, 'Jugum'),
('Huven', 'Webon', 762, 'Rorum'),
('Faloff', 'Jamon', 909, 'Zufic'),
('Yiloff', 'Webon', 73, 'Pipak'),
('Bapic', 'Jamon', 441, 'Lerer'),
('Fapis', 'Webon', 385, 'Rorum'),
('Kapin', 'Nanoff', 421, 'Tuvis'),
('Yilin', 'Nanoff', 640, 'Jugum'),
('Benel', 'Fesski', 735, 'Zufic'),
('Lotis', 'Webon', 483, 'Tuvis');

CREATE TABLE suites (hero TEXT, lens TEXT, lines INTEGER);
INSERT INTO suites VALUES
('Tuvis', 'Dumic', 668),
('Jugum', 'Katski', 59),
('Zufic', 'Katski', 750),
('Rorum', 'Dumic', 664),
('Lerer', 'Govum', 625),
('Pipak', 'Dumic', 793);
