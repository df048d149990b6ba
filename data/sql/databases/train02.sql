CREATE TABLE gulls (senator TEXT, coast TEXT, boxes INTEGER, photo TEXT);
INSERT INTO gulls VALUES
('Defel', 'Welel', 867, 'Lonen'),
('Wenov', 'Gugen', 416, 'Jitov'),
('Mufoff', 'Vener', 654, 'Jitov'),
('Warer', 'Hinis', 369, 'Finer'),
('Dafum', 'Hinis', 829, 'Gogin'),
('Zuzen', 'Hinis', 561, 'Gogin'),
('Mivak', 'Welel', 825, 'Kezic'),
('Wopel', 'Welel', 177, 'Finer'),
('Holoff', 'Hinis', 495, 'Vimen'),
('Makum', 'Gugen', 451, 'Vimen');

CREATE TABLE crews (photo TEXT, thane TEXT, aims INTEGER);
INSERT INTO crews VALUES
('Finer', 'Yiton', 331),
('Jitov', 'Kurski', 214),
('Vimen', 'Kurski', 308),
('Gogin', 'Fezon', 454),
('Lonen', 'Kurski', 322),
('Kezic', 'Yiton', 416);

CREATE TABLE cows (fan TEXT, ruler TEXT, roses INTEGER, island TEXT);
INSERT INTO cows VALUES
('Hepov', 'Sibis', 275, 'Yaric'),
('Dasis', 'Jazen', 327, 'Tekin'),
('Pogic', 'Sibis', 440, 'Jetic'),
('Demak', 'Sibis', 69, 'Gunin'),
('Yeroff', 'Wutov', 990, 'Tekin'),
('Vufski', 'Wutov', 173, 'Piren'),
('Rafen', 'Wutov', 73, 'Yaric'),
('Yavon', 'Mekel', 149, 'Jetic'),
('Kovic', 'Sibis', 575, 'Vatis'),
('Kufoff', 'Jazen', 796, 'Vatis');

CREATE TABLE leagues (island TEXT, voter TEXT, laps INTEGER);
INSERT INTO leagues VALUES
('Vatis', 'Bomic', 891),
('Tekin', 'Birel', 677),
('Yaric', 'Bomic', 854),
('Jetic', 'Zimic', 893),
('Gunin', 'Birel', 855),
('Piren', 'Birel', 581);

CREATE TABLE stamps (aroma TEXT, kit TEXT, notes INTEGER, vault TEXT);
INSERT INTO stamps VALUES
('Rusov', 'Dozic', 885, 'Dapis'),
('Filski', 'Puvoff', 852, 'Gobak'),
('Nidski', 'Puvoff', 271, 'Verov'),
('Wizer', 'Dozic', 97, 'Water'),
('Nidak', 'Kuboff', 749, 'Zunon'),
('Widski', 'Ripic', 168, 'Verov'),
('Nunski', 'Dozic', 299, 'Vizum'),
('Tovov', 'Kuboff', 773, 'Water'),
('Vunis', 'Dozic', 144, 'Dapis'),
('Vubov', 'Kuboff', 706, 'Zunon');

CREATE TABLE elves (vault TEXT, walker TEXT, lines INTEGER);
INSERT INTO elves VALUES
('Zunon', 'Hunic', 159),
('Dapis', 'Neter', 22),
('Verov', 'Dupoff', 844),
('Water', 'Dupoff', 199),
('Gobak', 'Neter', 386),
('Vizum', 'Dupoff', 168);

CREATE TABLE woods (cape TEXT, motto TEXT, claims INTEGER, barber TEXT);
INSERT INTO woods VALUES
('Wedis', 'Bovoff', 127, 'Jogic'),
('Kaker', 'Bovoff', 126, 'Vuzak'),
('Giren', 'Sekov', 456, 'Zevon'),
('Gudak', 'Yuron', 701, 'Jogic'),
('Zelak', 'Sekov', 476, 'Vuzak'),
('Birel', 'Yuron', 330, 'Galis'),
('Hevski', 'Bovoff', 196, 'Hemic'),
('Fufin', 'Yuron', 109, 'Zevon'),
('Vipen', 'Fonoff', 460, 'Gofel'),
('Yubov', 'Bovoff', 444, 'Galis');

CREATE TABLE towers (barber TEXT, duty INTEGER, dorm TEXT);
INSERT INTO towers VALUES
('Zevon', 744, 'Govski'),
('Jogic', 854, 'Zibis'),
('Galis', 77, 'Pavon'),
('Vuzak', 299, 'Zibis'),
('Hemic', 875, 'Govski'),
('Gofel', 576, 'Govski');

CREATE TABLE camels (status TEXT, kicks INTEGER, aide TEXT, method TEXT);
INSERT INTO camels VALUES
('Yaloff', 711, 'Japski', 'Bolum'),
('Piser', 364, 'Japski', 'Tepski'),
('Kazon', 730, 'Japski', 'Rokin'),
('Hidski', 552, 'Jogon', 'Bolum'),
('Kegon', 241, 'Japski', 'Rokin'),
('Fikel', 753, 'Gugen', 'Ninski'),
('Fugen', 477, 'Gugen', 'Kilov'),
('Lasic', 719, 'Mokin', 'Kilov'),
('Getis', 28, 'Jogon', 'Momov'),
('Videl', 52, 'Jogon', 'Tepski');

CREATE TABLE pagers (method TEXT, stories INTEGER, realm TEXT);
INSERT INTO pagers VALUES
('Tepski', 336, 'Setis'),
('Kilov', 27, 'Setis'),
('Bolum', 898, 'Vabon'),
('Rokin', 106, 'Setis'),
('Ninski', 967, 'Vabon'),
('Momov', 642, 'Nusic');

CREATE TABLE workers (code TEXT, pumps INTEGER, taxi TEXT, trend TEXT);
INSERT INTO workers VALUES
('Hunski', 404, 'Bebel', 'Hagski'),
('Jigen', 136, 'Wemoff', 'Hagski'),
('Fasin', 628, 'Wemoff', 'Kaken'),
('Migel', 702, 'Yodon', 'Gozis'),
('Vemis', 914, 'Wemoff', 'Fefak'),
('Lakel', 644, 'Robski', 'Fefak'),
('Pasum', 409, 'Robski', 'Sikic'),
('Vifum', 697, 'Yodon', 'Retov'),
('Lugak', 10, 'Yodon', 'Kaken'),
('Zekon', 455, 'Wemoff', 'Gozis');

CREATE TABLE barbers (trend TEXT, dunks INTEGER, robot TEXT);
INSERT INTO barbers VALUES
('Kaken', 296, 'Nemis'),
('Gozis', 194, 'Rabin'),
('Fefak', 396, 'Nemis'),
('Hagski', 760, 'Mosic'),
('Sikic', 717, 'Rabin'),
('Retov', 250, 'Rabin');

CREATE TABLE arrows (staff TEXT, gears INTEGER, relic TEXT, doctor TEXT);
INSERT INTO arrows VALUES
('Vegen', 855, 'Vatin', 'Jefak'),
('Jusak', 502, 'Vatin', 'Feler'),
('Depon', 561, 'Vatin', 'Lugen'),
('Bevski', 612, 'Juzel', 'Gesic'),
('Sesak', 983, 'Nutov', 'Dudic'),
('Kapel', 24, 'Zemen', 'Jefak'),
('Wazer', 864, 'Nutov', 'Bizin'),
('Jemin', 123, 'Nutov', 'Gesic'),
('Foten', 483, 'Vatin', 'Bizin'),
('Rizin', 576, 'Zemen', 'Dudic');

CREATE TABLE drawers (doctor TEXT, passes INTEGER, title TEXT);
INSERT INTO drawers VALUES
('Gesic', 815, 'Doten'),
('Bizin', 37, 'Sekum'),
('Dudic', 832, 'Sekum'),
('Jefak', 808, 'Rofski'),
('Feler', 291, 'Doten'),
('Lugen', 711, 'Doten');

CREATE TABLE cattle (player TEXT, bonus INTEGER, spirit TEXT, keeper TEXT);
INSERT INTO cattle VALUES
('Wudum', 828, 'Magov', 'Fenel'),
('Jopski', 716, 'Kabski', 'Fenel'),
('Tafer', 637, 'Nopis', 'Yamic'),
('Wuzoff', 437, 'Nopis', 'Pegak'),
('Toton', 857, 'Magov', 'Kufov'),
('Wakel', 498, 'Magov', 'Vozon'),
('Kopov', 743, 'Kabski', 'Pegak'),
('Rezski', 932, 'Pizon', 'Vozon'),
('Nadski', 781, 'Nopis', 'Yamic'),
('Togis', 217, 'Nopis', 'Gesum');

CREATE TABLE wheats (keeper TEXT, leaf TEXT, lemons INTEGER);
INSERT INTO wheats VALUES
('Yamic', 'Bazis', 610),
('Vozon', 'Bazis', 894),
('Fenel', 'Mific', 154),
('Pegak', 'Getski', 204),
('Gesum', 'Mific', 271),
('Kufov', 'Mific', 25);

CREATE TABLE islands (peer TEXT, expense INTEGER, stamp TEXT, medium TEXT);
INSERT INTO islands VALUES
('Jazer', 546, 'Vetic', 'Yamov'),
('Yunum', 381, 'Gerov', 'Heter'),
('Nerin', 654, 'Bupin', 'Burov'),
('Sabak', 925, 'Bupin', 'Yamov'),
('Kunin', 300, 'Bupin', 'Yeloff'),
('Nason', 63, 'Gerov', 'Fovum'),
('Jaten', 850, 'Gerov', 'Vipel'),
('Rozic', 987, 'Vetic', 'Burov'),
('Juris', 677, 'Bupin', 'Fovum'),
('Paton', 586, 'Kosski', 'Vipel');

CREATE TABLE hedges (medium TEXT, joiner TEXT, pools INTEGER);
INSERT INTO hedges VALUES
('Burov', 'Hafen', 877),
('Yamov', 'Helum', 378),
('Fovum', 'Hafen', 182),
('Vipel', 'Helum', 387),
('Heter', 'Hafen', 188),
('Yeloff', 'Loben', 561);

CREATE TABLE calves (sage TEXT, triples INTEGER, title TEXT, father TEXT);
INSERT INTO calves VALUES
('Vater', 74, 'Wiker', 'Boner'),
('Sogak', 662, 'Gemer', 'Fesoff'),
('Hufov', 743, 'Jilic', 'Boner'),
('Tizum', 347, 'Wiker', 'Fesoff'),
('Fider', 548, 'Gemer', 'Valic'),
('Duger', 230, 'Wiker', 'Jadin'),
('Pafic', 366, 'Gunoff', 'Jadin'),
('Tuzer', 237, 'Jilic', 'Fuvov'),
('Sonon', 626, 'Wiker', 'Razum'),
('Gevon', 371, 'Gemer', 'Valic');

CREATE TABLE jets (father TEXT, forks INTEGER, mascot TEXT);
INSERT INTO jets VALUES
('Fesoff', 968, 'Liver'),
('Jadin', 892, 'Sutis'),
('Boner', 25, 'Yatak'),
('Valic', 807, 'Sutis'),
('Fuvov', 43, 'Liver'),
('Razum', 513, 'Liver');

CREATE TABLE zones (guild TEXT, rolls INTEGER, screen TEXT, critic TEXT);
INSERT INTO zones VALUES
('Vunin', 163, 'Yedov', 'Jozon'),
('Filski', 816, 'Yedov', 'Gedski'),
('Tupis', 538, 'Yedov', 'Jalon'),
('Filak', 504, 'Wurski', 'Jalon'),
('Sevic', 289, 'Komak', 'Komski'),
('Sugis', 941, 'Tovel', 'Komski'),
('Hepoff', 266, 'Komak', 'Digen'),
('Zupic', 545, 'Komak', 'Yobum'),
('Pelel', 749, 'Wurski', 'Yobum'),
('Jomen', 16, 'Komak', 'Gedski');

CREATE TABLE tanks (critic TEXT, poet TEXT, feet INTEGER);
INSERT INTO tanks VALUES
('Gedski', 'Hisski', 835),
('Yobum', 'Hagski', 118),
('Jalon', 'Yinic', 666),
('Komski', 'Yinic', 636),
('Jozon', 'Hisski', 140),
('Digen', 'Hisski', 961);

CREATE TABLE dams (drummer TEXT, guards INTEGER, servant TEXT, thing TEXT);
INSERT INTO dams VALUES
('Getoff', 823, 'Jeber', 'Novel'),
('Bubin', 182, 'Vagon', 'Seken'),
('Zomel', 44, 'Folen', 'Saker'),
('Womis', 696, 'Vagon', 'Seken'),
('Yeloff', 670, 'Jeber', 'Yafoff'),
('Jubak', 35, 'Vagon', 'Yafoff'),
('Jebum', 978, 'Jeber', 'Saker'),
('Sirel', 316, 'Vagon', 'Vemak'),
('Gafak', 368, 'Radov', 'Yorin'),
('Henon', 381, 'Folen', 'Yorin');

CREATE TABLE hamlets (thing TEXT, maker TEXT, runs INTEGER);
INSERT INTO hamlets VALUES
('Yorin', 'Belen', 580),
('Yafoff', 'Belen', 940),
('Seken', 'Gisov', 157),
('Saker', 'Hidski', 998),
('Vemak', 'Hidski', 413),
('Novel', 'Hidski', 313);

CREATE TABLE lions (cell TEXT, cloth TEXT, shares INTEGER, aroma TEXT);
INSERT INTO lions VALUES
('Loben', 'Nover', 241, 'Lasic'),
('Zuris', 'Rogak', 11, 'Pebak'),
('Luloff', 'Kogoff', 347, 'Liden'),
('Tudoff', 'Dapis', 146, 'Folel'),
('Rusum', 'Dapis', 379, 'Liden'),
('Fazum', 'Kogoff', 49, 'Tofel'),
('Wamin', 'Rogak', 673, 'Pebak'),
('Pulic', 'Dapis', 992, 'Memon'),
('Waboff', 'Kogoff', 172, 'Memon'),
('Defin', 'Dapis', 986, 'Folel');

CREATE TABLE menus (aroma TEXT, mascot TEXT, sails INTEGER);
INSERT INTO menus VALUES
('Folel', 'Porin', 140),
('Pebak', 'Papic', 380),
('Memon', 'Zebel', 447),
('Liden', 'Porin', 216),
('Tofel', 'Zebel', 782),
('Lasic', 'Porin', 63);

CREATE TABLE blogs (cloth TEXT, vendor TEXT, couples INTEGER, aroma TEXT);
INSERT INTO blogs VALUES
('Juroff', 'Vipov', 86, 'Biker'),
('Vuzski', 'Rader', 946, 'Pater'),
('Gakoff', 'Vipov', 669, 'Legic'),
('Susen', 'Zider', 455, 'Burer'),
('Zorer', 'Vipov', 762, 'Hisski'),
('Goser', 'Rader', 404, 'Burer'),
('Hotoff', 'Vipov', 793, 'Hisski'),
('Jufum', 'Zider', 636, 'Fofis'),
('Ponum', 'Rader', 82, 'Biker'),
('Porov', 'Bedic', 834, 'Pater');

CREATE TABLE burgers (aroma TEXT, city TEXT, pairs INTEGER);
INSERT INTO burgers VALUES
('Biker', 'Bisen', 78),
('Hisski', 'Nisin', 136),
('Burer', 'Fudum', 372),
('Pater', 'Fudum', 987),
('Legic', 'Bisen', 637),
('Fofis', 'Fudum', 456);

CREATE TABLE scarves (hue TEXT, votes INTEGER, mark TEXT, coast TEXT);
INSERT INTO scarves VALUES
('Bedis', 836, 'Bofoff', 'Tozen'),
('Sekum', 568, 'Keler', 'Zinak'),
('Yonen', 348, 'Demov', 'Vifum'),
('Pimum', 874, 'Bofoff', 'Nanen'),
('Makin', 265, 'Bofoff', 'Tovon'),
('Fivov', 884, 'Keler', 'Jubel'),
('Jerak', 736, 'Demov', 'Nanen'),
('Dofer', 787, 'Homel', 'Jubel'),
('Dilov', 368, 'Demov', 'Vifum'),
('Wazoff', 574, 'Demov', 'Tovon');

CREATE TABLE labs (coast TEXT, coin TEXT, axles INTEGER);
INSERT INTO labs VALUES
('Nanen', 'Jepen', 10),
('Jubel', 'Tutel', 148),
('Tovon', 'Tutel', 397),
('Vifum', 'Vufis', 964),
('Tozen', 'Jepen', 645),
('Zinak', 'Jepen', 330);

CREATE TABLE gorges (kingdom TEXT, girth INTEGER, side TEXT, clerk TEXT);
INSERT INTO gorges VALUES
('Mopon', 262, 'Ribum', 'Rubov'),
('Tater', 541, 'Yopen', 'Rubov'),
('Noden', 224, 'Ravic', 'Bizis'),
('Tozic', 554, 'Ravic', 'Nibum'),
('Pavov', 456, 'Ribum', 'Jugis'),
('Rigon', 250, 'Ravic', 'Regum'),
('Fapis', 174, 'Zepis', 'Bizis'),
('Rezel', 481, 'Ribum', 'Jugis'),
('Kason', 234, 'Ravic', 'Regum'),
('Zufak', 608, 'Yopen', 'Jodin');

CREATE TABLE statues (clerk TEXT, coach TEXT, fee INTEGER);
INSERT INTO statues VALUES
('Regum', 'Fugic', 43),
('Bizis', 'Jimin', 929),
('Rubov', 'Gasen', 932),
('Jugis', 'Gasen', 736),
('Jodin', 'Fugic', 494),
('Nibum', 'Fugic', 58);

CREATE TABLE owls (song TEXT, sets INTEGER, lake TEXT, coroner TEXT);
INSERT INTO owls VALUES
('Zaker', 457, 'Hazski', 'Sevum'),
('Mekov', 625, 'Hazski', 'Metis'),
('Zuzer', 417, 'Dogic', 'Viden'),
('Huzen', 435, 'Hazski', 'Zobin'),
('Mesin', 546, 'Jakum', 'Sevum'),
('Zemis', 966, 'Jakum', 'Vizic'),
('Pegis', 323, 'Zenski', 'Viden'),
('Buren', 763, 'Hazski', 'Zobin'),
('Nazer', 810, 'Dogic', 'Vizic'),
('Gusoff', 821, 'Dogic', 'Bezis');

CREATE TABLE shows (coroner TEXT, idol TEXT, gaps INTEGER);
INSERT INTO shows VALUES
('Viden', 'Kakum', 740),
('Sevum', 'Kakum', 252),
('Vizic', 'Nogski', 526),
('Zobin', 'Nogski', 216),
('Bezis', 'Kakum', 968),
('Metis', 'Lulis', 586);

CREATE TABLE whales (hero TEXT, pools INTEGER, aroma TEXT, fruit TEXT);
INSERT INTO whales VALUES
('Jodoff', 666, 'Kobin', 'Yeroff'),
('Pugic', 29, 'Kobin', 'Halis'),
('Pamic', 611, 'Havel', 'Hulum'),
('Vamov', 896, 'Kutski', 'Hulum'),
('Kerel', 588, 'Havel', 'Bipak'),
('Pupel', 454, 'Kobin', 'Genak'),
('Vigon', 657, 'Havel', 'Genak'),
('Nisin', 476, 'Kobin', 'Halis'),
('Harski', 134, 'Nogic', 'Yeroff'),
('Lopen', 74, 'Nogic', 'Witoff');

CREATE TABLE engines (fruit TEXT, dogs INTEGER, coroner TEXT);
INSERT INTO engines VALUES
('Yeroff', 76, 'Vubis'),
('Halis', 696, 'Wisis'),
('Genak', 330, 'Vubis'),
('Hulum', 843, 'Wisis'),
('Witoff', 364, 'Vubis'),
('Bipak', 674, 'Donski');

CREATE TABLE crabs (desk TEXT, boards INTEGER, lady TEXT, face TEXT);
INSERT INTO crabs VALUES
('Momer', 897, 'Lazum', 'Nadic'),
('Meden', 468, 'Bugis', 'Dakoff'),
('Raver', 77, 'Lifen', 'Dalel'),
('Buron', 981, 'Lazum', 'Mazis'),
('Funis', 293, 'Lazum', 'Nadic'),
('Tarak', 833, 'Lifen', 'Kukski'),
('Sizer', 266, 'Lazum', 'Limel'),
('Yebum', 427, 'Lifen', 'Dalel'),
('Tutoff', 957, 'Bugis', 'Kukski'),
('Vabov', 581, 'Yabov', 'Limel');

CREATE TABLE words (face TEXT, replies INTEGER, basin TEXT);
INSERT INTO words VALUES
('Nadic', 464, 'Begel'),
('Limel', 720, 'Begel'),
('Kukski', 502, 'Tigic'),
('Dalel', 842, 'Tigic'),
('Mazis', 48, 'Nemski'),
('Dakoff', 495, 'Tigic');

CREATE TABLE writers (carrier TEXT, rounds INTEGER, medic TEXT, spot TEXT);
INSERT INTO writers VALUES
('Latov', 295, 'Futic', 'Tovon'),
('Monel', 986, 'Ruvak', 'Ronon'),
('Meken', 689, 'Waner', 'Kelen'),
('Guner', 549, 'Rinov', 'Pagin'),
('Resski', 271, 'Rinov', 'Vopis'),
('Hilum', 165, 'Ruvak', 'Pagin'),
('Diton', 122, 'Ruvak', 'Kelen'),
('Vumel', 628, 'Futic', 'Ronon'),
('Beger', 876, 'Rinov', 'Ziris'),
('Kalon', 778, 'Ruvak', 'Ziris');

CREATE TABLE wells (spot TEXT, start TEXT, visits INTEGER);
INSERT INTO wells VALUES
('Pagin', 'Kadic', 714),
('Kelen', 'Mobak', 614),
('Ziris', 'Guken', 140),
('Ronon', 'Mobak', 607),
('Tovon', 'Mobak', 36),
('Vopis', 'Kadic', 823);
